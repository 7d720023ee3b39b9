/// The version of the agent and of the command line, which are built and shipped together.
package let agentVersion = "0.1.0"

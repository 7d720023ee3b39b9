"""What end-to-end tests need inside the test node (see scripts/node): pods, images, the agent, snapshots."""

# The agent's image: its static programs and nothing else. Build and base images are arguments, so that a cluster
# without access to the public registries names its own.
ARG BUILD_IMAGE=swift:6.3-bookworm
FROM ${BUILD_IMAGE} AS build
WORKDIR /squall
COPY . .
RUN scripts/build
# What ChaosExperiments of LitmusChaos start is the command line, under another name.
RUN mkdir -p litmus/bin && ln -s /squall litmus/bin/bash && ln -s /squall litmus/experiments

# docker build --target litmus: what the pods of LitmusChaos's experiments run (docs/litmus.md).
FROM scratch AS litmus
COPY --from=build /squall/.build/programs/squall /
COPY --from=build /squall/litmus /
ENTRYPOINT ["/squall"]

FROM scratch
COPY --from=build /squall/.build/programs/squalld /squall/.build/programs/squall-gateway \
    /squall/.build/programs/squall-runtimes /squall/.build/programs/squall-worker \
    /squall/.build/programs/squall-deadman /squall/.build/programs/squall /
LABEL org.opencontainers.image.title="Squall" \
    org.opencontainers.image.description="Node-local chaos injection agent" \
    org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/squalld"]

# syntax=docker/dockerfile:1
# mcpvisor with what npx and uvx servers need. docs/docker.md says how it is run. `make image-test` runs the RUN lines below in a
# fresh root where no Docker is, and the last stage's ENV, USER and CMD with them: keep to COPY, RUN, ENV, USER, WORKDIR, CMD there.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin mcpvisor --bin mcp-server && \
    mkdir /out && cp target/dist/mcpvisor target/dist/mcp-server /out/ && strip /out/*

FROM debian:bookworm-slim
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates nodejs npm python3 python3-venv && \
    rm -rf /var/lib/apt/lists/*
# uv is in no Debian of today.
RUN python3 -m venv /opt/uv && \
    /opt/uv/bin/pip install --quiet --no-cache-dir uv==0.13.9 && \
    ln -s /opt/uv/bin/uv /opt/uv/bin/uvx /usr/local/bin/
# A number and no name in USER below, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 mcpvisor && \
    useradd --uid 10001 --gid 10001 --home-dir /var/cache/mcpvisor --no-create-home --shell /usr/sbin/nologin mcpvisor && \
    install -d -m 0700 -o 10001 -g 10001 /var/lib/mcpvisor /var/cache/mcpvisor
COPY --from=build /out/ /usr/local/bin/
ENV HOME=/var/cache/mcpvisor MCPVISOR_DATA_DIR=/var/lib/mcpvisor MCPVISOR_HOST=0.0.0.0
ENV MCPVISOR_SOCKET=/var/lib/mcpvisor/mcpvisor.sock
WORKDIR /var/lib/mcpvisor
USER 10001:10001
EXPOSE 5000
VOLUME ["/var/lib/mcpvisor", "/var/cache/mcpvisor"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["mcpvisor", "list", "-o", "json"]
# As PID 1 it reaps and forwards nothing to anybody but its own servers: no init is needed before it.
CMD ["mcpvisor", "serve"]

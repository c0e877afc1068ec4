# PostgreSQL from Debian's packages, for where the public image cannot be had. It takes the public image's POSTGRES_USER,
# POSTGRES_PASSWORD and POSTGRES_DB. A BASE that contains the package already is used as it is.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN command -v /usr/lib/postgresql/15/bin/postgres \
 || { apt-get update && apt-get install -y --no-install-recommends postgresql-15 && rm -rf /var/lib/apt/lists/*; }
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PGDATA=/var/lib/postgresql/data \
    LANG=C.UTF-8
RUN install -d -o postgres -g postgres -m 700 "$PGDATA" \
 && install -d -o postgres -g postgres -m 2775 /run/postgresql
COPY postgres-entrypoint.sh /usr/local/bin/
VOLUME ["/var/lib/postgresql/data"]
EXPOSE 5432
STOPSIGNAL SIGINT
USER postgres
ENTRYPOINT ["postgres-entrypoint.sh"]

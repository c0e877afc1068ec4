#!/bin/sh
# Makes the cluster, its user and its database in an empty data directory, then becomes the server. The first start
# listens on the socket only: nobody reaches a server whose database is not there yet.
set -eu
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"

initialise() {
  : "${POSTGRES_PASSWORD:?must be set}"
  rm -rf "${PGDATA:?}"/*
  umask 077
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256 --encoding UTF8
  rm /tmp/password
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait -o "-c listen_addresses=''" start
  [ "$POSTGRES_DB" = postgres ] || createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --wait --mode fast stop
  touch "$PGDATA/.initialised"
}

[ -e "$PGDATA/.initialised" ] || initialise
exec postgres -c listen_addresses='*' "$@"

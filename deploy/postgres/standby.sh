#!/bin/bash
# Copies the primary where there is nothing yet, and follows it.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    PGPASSWORD="$(cat /run/secrets/replicator_password)" pg_basebackup --pgdata "$PGDATA" \
        --wal-method stream --checkpoint fast --write-recovery-conf --slot standby \
        --dbname "host=primary user=replicator application_name=standby"
    chmod 700 "$PGDATA"
fi
exec postgres -D "$PGDATA" -c config_file=/etc/postgresql/primary.conf \
    -c hba_file=/etc/postgresql/pg_hba.conf -c cluster_name=standby

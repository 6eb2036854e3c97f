#!/bin/bash
# Run once by the image of PostgreSQL, on a database that it has just made.
set -euo pipefail
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
    --set switchyard_password="$(cat /run/secrets/database_password)" \
    --set replicator_password="$(cat /run/secrets/replicator_password)" \
    --file /etc/postgresql/roles.sql

-- The gateway's role and database, and the standby's role. psql fills the passwords in:
-- psql -v switchyard_password=… -v replicator_password=… -f roles.sql
CREATE ROLE switchyard LOGIN PASSWORD :'switchyard_password';
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator_password';
CREATE DATABASE switchyard OWNER switchyard;
SELECT pg_create_physical_replication_slot('standby');
-- From the next start on, a commit waits for the standby of this name.
ALTER SYSTEM SET synchronous_standby_names = 'standby';

-- The three roles of the database, for PostgreSQL 16 or newer. Run as a superuser (or an administrator of a managed PostgreSQL) with
-- psql -v ON_ERROR_STOP=1 -f roles.sql; running it again changes nothing.
--   app_owner   owns every table; migrates and dumps. Without BYPASSRLS, FORCE ROW LEVEL SECURITY would let a data migration change no row, in silence.
--   app_web     what every process logs in as. Row-level security applies to it.
--   app_system  what tenancy.system() switches to, for one statement or one transaction. INHERIT FALSE keeps its rights away from app_web until it asks.
DO $$
BEGIN
    IF current_setting('server_version_num')::int < 160000 THEN
        RAISE EXCEPTION 'PostgreSQL 16 or newer is needed, this is %.', current_setting('server_version')
            USING HINT = 'Debian 12 ships 15: take a newer one from the packages of postgresql.org, or Debian 13.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner') THEN
        CREATE ROLE app_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_system') THEN
        CREATE ROLE app_system NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_web') THEN
        CREATE ROLE app_web LOGIN;
    END IF;
END
$$;
ALTER ROLE app_owner LOGIN NOSUPERUSER BYPASSRLS CREATEDB;
ALTER ROLE app_system NOLOGIN NOSUPERUSER BYPASSRLS;
ALTER ROLE app_web LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
GRANT app_system TO app_web WITH INHERIT FALSE, SET TRUE;
GRANT app_system TO app_owner WITH INHERIT FALSE, SET TRUE;
-- So that the owner may end sessions of app_web, when a database is dropped or a migration is blocked.
GRANT app_web TO app_owner;
-- PostgreSQL logs a statement that fails with all its values: addresses, password hashes, whatever was being written. Only the error's own
-- line is logged for our roles. Managed servers may not let their administrator set this for a role: then set it for the server.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['app_owner', 'app_web', 'app_system'] LOOP
        EXECUTE format('ALTER ROLE %I SET log_min_error_statement = panic', role);
        EXECUTE format('ALTER ROLE %I SET log_error_verbosity = terse', role);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'Failed statements are logged with their values: set log_min_error_statement = panic and log_error_verbosity = terse for the server.';
END
$$;

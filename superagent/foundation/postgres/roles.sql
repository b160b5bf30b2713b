-- The three roles of the database. Run as a superuser (or an administrator of a managed PostgreSQL), once; running it again changes nothing.
--   app_owner   owns every table; migrates and dumps. Without BYPASSRLS, FORCE ROW LEVEL SECURITY would let a data migration change no row, in silence.
--   app_web     what every process logs in as. Row-level security applies to it.
--   app_system  what tenancy.system() switches to, for one statement or one transaction. INHERIT FALSE keeps its rights away from app_web until it asks.
DO $$
BEGIN
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

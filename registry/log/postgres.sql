-- The log in PostgreSQL. Run once, by the owner, within one transaction that holds the lock of the creation; `search_path`
-- is the registry's schema and pg_temp. Text is compared byte by byte (COLLATE "C"), as in SQLite.

CREATE TABLE schema_version (version int NOT NULL);

CREATE TABLE stored_events (
  position bigint PRIMARY KEY,  -- 1, 2, 3, ... in the order of the commits: given under the lock, never by a sequence
  originator_id text COLLATE "C" NOT NULL,
  originator_version bigint NOT NULL,
  topic text COLLATE "C" NOT NULL,
  state bytea NOT NULL,
  UNIQUE (originator_id, originator_version));

CREATE TABLE claims (
  scope text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, stream text COLLATE "C" NOT NULL,
  PRIMARY KEY (scope, key));

-- A destroyed key must not stay behind in a dead row for long: every deletion lets the next round of autovacuum clean up.
CREATE TABLE data_keys (holder text COLLATE "C" PRIMARY KEY, wrapped bytea NOT NULL)
  WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'stored events are append-only';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One writer at a time: the position of an event is then the order of its commit, and a follower misses none.
CREATE FUNCTION write_lock() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE head bigint;
BEGIN
  PERFORM pg_advisory_xact_lock('stored_events'::regclass::oid::bigint);
  SELECT max(position) INTO head FROM stored_events;  -- a statement of its own, so that it sees what the lock waited for
  RETURN coalesce(head, 0);
END $$;

CREATE FUNCTION require_unchanged(relied text[], resting text[], standing bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(relied) > 0 AND EXISTS (
      SELECT FROM unnest(relied) AS one(holder) WHERE NOT EXISTS (SELECT FROM data_keys d WHERE d.holder = one.holder)) THEN
    RAISE EXCEPTION 'a data key was destroyed meanwhile' USING ERRCODE = 'TR001';
  END IF;
  IF cardinality(resting) > 0 AND EXISTS (
      SELECT FROM unnest(resting, standing) AS one(stream, version) WHERE one.version <> coalesce(
        (SELECT max(originator_version) FROM stored_events WHERE originator_id = one.stream), 0)) THEN
    RAISE EXCEPTION 'what the write rests on has moved on' USING ERRCODE = 'TR001';
  END IF;
END $$;

-- One round trip: lock, check what the write rests on, append, claim, notify. It returns the head before.
CREATE FUNCTION append(
    streams text[], versions bigint[], topics text[], states bytea[],
    taken_scopes text[], taken_keys text[], taken_streams text[],
    released_scopes text[], released_keys text[], released_streams text[],
    holders text[], wrapped_keys bytea[], destroyed text[],
    relied text[], resting text[], standing bigint[], expected bigint)
  RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE head bigint := write_lock();
BEGIN
  IF expected IS NOT NULL AND expected <> head THEN
    RAISE EXCEPTION 'another writer came between' USING ERRCODE = 'TR001';
  END IF;
  IF cardinality(relied) > 0 OR cardinality(resting) > 0 THEN
    PERFORM require_unchanged(relied, resting, standing);
  END IF;
  INSERT INTO stored_events
    SELECT head + n, s, v, t, b FROM unnest(streams, versions, topics, states) WITH ORDINALITY AS one(s, v, t, b, n);
  IF cardinality(released_scopes) > 0 THEN
    DELETE FROM claims c USING unnest(released_scopes, released_keys, released_streams) AS one(scope, key, stream)
      WHERE c.scope = one.scope AND c.key = one.key AND c.stream = one.stream;
  END IF;
  IF cardinality(taken_scopes) > 0 THEN
    INSERT INTO claims SELECT * FROM unnest(taken_scopes, taken_keys, taken_streams);
  END IF;
  IF cardinality(holders) > 0 THEN
    INSERT INTO data_keys SELECT * FROM unnest(holders, wrapped_keys);
  END IF;
  IF cardinality(destroyed) > 0 THEN
    DELETE FROM data_keys WHERE holder = ANY (destroyed);
  END IF;
  PERFORM pg_notify('title_registry_' || 'stored_events'::regclass::oid, (head + cardinality(streams))::text);
  RETURN head;
END $$;

-- The same for what a session has laid by in its temporary tables. Claims go in sorted: random keys would scatter the pages.
CREATE FUNCTION append_staged(relied text[], resting text[], standing bigint[])
  RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE head bigint;
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname LIKE 'staged\_%'
      AND relkind NOT IN ('i') AND (relkind <> 'r' OR relrowsecurity)) THEN
    RAISE EXCEPTION 'only plain tables can be staged';  -- a view or a policy would run its owner's code as ours
  END IF;
  head := write_lock();
  INSERT INTO stored_events SELECT head + position, originator_id, originator_version, topic, state
    FROM pg_temp.staged_events ORDER BY position;
  INSERT INTO claims SELECT scope, key, stream FROM (
    SELECT scope, key, stream FROM pg_temp.staged_claims UNION ALL SELECT scope, key, stream FROM pg_temp.staged_scattered
  ) AS one ORDER BY scope, key;
  INSERT INTO data_keys SELECT holder, wrapped FROM pg_temp.staged_keys ORDER BY holder;
  PERFORM require_unchanged(relied, resting, standing);  -- those that were laid by are in by now
  PERFORM pg_notify('title_registry_' || 'stored_events'::regclass::oid, '');
  RETURN head;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA SCHEMA_NAME FROM PUBLIC;
GRANT USAGE ON SCHEMA SCHEMA_NAME TO title_registry_service;
GRANT SELECT ON schema_version, stored_events, claims, data_keys TO title_registry_service;
GRANT EXECUTE ON FUNCTION append, append_staged TO title_registry_service;
INSERT INTO schema_version VALUES (1);

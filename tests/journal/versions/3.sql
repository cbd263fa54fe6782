PRAGMA application_id = 1414678855;
PRAGMA user_version = 3;
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE route (name TEXT PRIMARY KEY, trigger TEXT NOT NULL, source TEXT, pattern TEXT, policy TEXT NOT NULL,
                    emits TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL,
    subject TEXT, time REAL NOT NULL, recorded REAL NOT NULL, data TEXT NOT NULL,
    cause INTEGER, root INTEGER NOT NULL, depth INTEGER NOT NULL, budget INTEGER NOT NULL);
CREATE INDEX event_root ON event (root);
CREATE TABLE run (
    number INTEGER PRIMARY KEY, event INTEGER NOT NULL, route TEXT NOT NULL, priority INTEGER NOT NULL,
    state INTEGER NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL,
    started REAL, ended REAL, due REAL, due_time REAL, error TEXT, rank REAL NOT NULL DEFAULT 0, key TEXT, size INTEGER, deadline REAL, expires REAL, memory REAL, took REAL);
CREATE INDEX run_event ON run (event);
CREATE INDEX run_delayed ON run (due) WHERE state = 2;
CREATE INDEX run_dead ON run (number) WHERE state = 4;
CREATE TABLE attempt (
    run INTEGER NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL, started REAL, ended REAL,
    outcome TEXT NOT NULL, error TEXT, traceback TEXT);
CREATE INDEX attempt_run ON attempt (run);
CREATE TABLE identity (key TEXT PRIMARY KEY, event INTEGER NOT NULL, at REAL NOT NULL,
                       duplicates INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX identity_at ON identity (at);
CREATE TABLE ledger (source TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, event INTEGER NOT NULL,
                     PRIMARY KEY (source, key)) WITHOUT ROWID;
CREATE INDEX run_open ON run (route, rank, number) WHERE state < 2;
CREATE TABLE moment (at REAL NOT NULL, run INTEGER NOT NULL, kind TEXT NOT NULL,
                     PRIMARY KEY (at, run, kind)) WITHOUT ROWID;
CREATE INDEX run_done ON run (route, number) WHERE state = 3;
CREATE TABLE usage (run INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, memory REAL NOT NULL, cpu REAL NOT NULL);
CREATE TABLE checkpoint (run INTEGER PRIMARY KEY, value TEXT NOT NULL, done REAL, total REAL, origin REAL,
                         at REAL NOT NULL);
CREATE TABLE counted (route TEXT NOT NULL, rate TEXT NOT NULL, key TEXT, until REAL NOT NULL, run INTEGER NOT NULL);
CREATE INDEX counted_key ON counted (route, rate, key, until);
CREATE INDEX counted_until ON counted (until);
CREATE TABLE gathered (
    number INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT, first INTEGER NOT NULL, place INTEGER NOT NULL,
    slot TEXT NOT NULL, event INTEGER NOT NULL, wanted INTEGER NOT NULL, opened REAL NOT NULL, due REAL NOT NULL,
    ended TEXT, whole INTEGER);
CREATE INDEX gathered_open ON gathered (route, key, first, place) WHERE ended IS NULL;
CREATE INDEX gathered_due ON gathered (due) WHERE ended IS NULL;
CREATE INDEX gathered_ends ON gathered (route, key, due) WHERE ended IS NULL;
CREATE INDEX gathered_ended ON gathered (route, key) WHERE ended IS NOT NULL;
CREATE INDEX gathered_untold ON gathered (first) WHERE ended IS NOT NULL AND whole IS NULL;
CREATE INDEX gathered_event ON gathered (event);
CREATE INDEX gathered_whole ON gathered (whole, first, place) WHERE whole IS NOT NULL;
CREATE TABLE place (run INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT, at NOT NULL);
CREATE INDEX place_key ON place (route, key, at);
CREATE TABLE closed (route TEXT NOT NULL, every INTEGER NOT NULL, key TEXT, until REAL, reason TEXT NOT NULL);
CREATE INDEX gathered_slot ON gathered (route, key, slot, first) WHERE ended IS NULL;
INSERT INTO meta VALUES ('app', '{"name": "upgraded", "sources": ["inbox", "requests", "timer"], "capacity": {"cpu": 2.0, "memory": 25276510208.0, "coroutine": 1000.0, "thread": 32.0, "process": 2.0}, "aging": 600.0, "policy": null, "shares": {}, "target": null, "regulated": [], "expected": {}}');
INSERT INTO meta VALUES ('boot', 'fake');
INSERT INTO meta VALUES ('epoch', 1);
INSERT INTO meta VALUES ('id', 'de9f17bea8');
INSERT INTO meta VALUES ('name', 'upgraded');
INSERT INTO route VALUES ('clean', 'Arrived', NULL, NULL, '{"kind": "coroutine", "attempts": 9, "concurrency": null, "downstream": null, "overlap": "allow", "timeout": null, "priority": 0, "key": null, "per_key": null, "gathers": null, "throttle": null, "rate_limit": null, "in_order": null, "if_dead": null, "share": false, "window": null, "price": null, "deadline": null, "not_before": null, "expires": null, "needs": {}, "schedule": null, "reads": [], "writes": [], "max_depth": null}', '["Cleaned"]');
INSERT INTO route VALUES ('report', 'Tick', NULL, NULL, '{"kind": "coroutine", "attempts": 3, "concurrency": null, "downstream": null, "overlap": "allow", "timeout": null, "priority": 0, "key": null, "per_key": null, "gathers": null, "throttle": null, "rate_limit": null, "in_order": null, "if_dead": null, "share": false, "window": null, "price": null, "deadline": null, "not_before": null, "expires": null, "needs": {}, "schedule": "every(1h)", "reads": [], "writes": [], "max_depth": null}', '[]');
INSERT INTO route VALUES ('train', 'Cleaned', NULL, NULL, '{"kind": "coroutine", "attempts": 3, "concurrency": 1, "downstream": null, "overlap": "allow", "timeout": null, "priority": 5, "key": null, "per_key": null, "gathers": null, "throttle": null, "rate_limit": null, "in_order": null, "if_dead": null, "share": false, "window": null, "price": null, "deadline": null, "not_before": null, "expires": null, "needs": {}, "schedule": null, "reads": [], "writes": [], "max_depth": null}', '[]');
INSERT INTO event VALUES (1, 'a1', 'test', 'Arrived', 1, NULL, 0.0, 1767225600.0, '{"n":1}', NULL, 1, 0, 1000000);
INSERT INTO event VALUES (2, 'a2', 'test', 'Arrived', 1, NULL, 0.0, 1767225600.0, '{"n":2}', NULL, 2, 0, 1000000);
INSERT INTO event VALUES (3, 'a3', 'test', 'Arrived', 1, NULL, 0.0, 1767225600.0, '{"n":3}', NULL, 3, 0, 1000000);
INSERT INTO event VALUES (4, 'a4', 'test', 'Arrived', 1, NULL, 0.0, 1767225600.0, '{"n":4}', NULL, 4, 0, 1000000);
INSERT INTO event VALUES (5, 'de9f17bea8-r1.0', 'upgraded/clean', 'Cleaned', 1, NULL, 1767225600.0, 1767225600.0, '{"n":1}', 1, 1, 1, 1);
INSERT INTO event VALUES (6, 'de9f17bea8-r4.failed6', 'upgraded/clean', 'RunFailed', 1, NULL, 1767225600.0, 1767225600.0, '{"run":"r4","route":"clean","event_id":"a4","event_type":"Arrived","error":"Reject","message":"it will never do","attempts":1}', 4, 4, 1, 1);
INSERT INTO event VALUES (7, 'report@2026-01-01T01:00:00Z', 'timer', 'Tick', 1, 'report', 1767229200.0, 1767229200.0, '{"schedule":"report","due":"2026-01-01T01:00:00Z","missed":0,"backfill":false}', NULL, 7, 0, 1000000);
INSERT INTO event VALUES (8, 'a5', 'test', 'Arrived', 1, NULL, 0.0, 1767231000.0, '{"n":5}', NULL, 8, 0, 1000000);
INSERT INTO event VALUES (9, 'a6', 'test', 'Arrived', 1, NULL, 0.0, 1767231000.0, '{"n":6}', NULL, 9, 0, 1000000);
INSERT INTO event VALUES (10, 'a7', 'test', 'Arrived', 1, NULL, 0.0, 1767231000.0, '{"n":7}', NULL, 10, 0, 1000000);
INSERT INTO event VALUES (11, 'a8', 'test', 'Arrived', 1, NULL, 0.0, 1767231000.0, '{"n":8}', NULL, 11, 0, 1000000);
INSERT INTO event VALUES (12, 'de9f17bea8-r7.0', 'upgraded/clean', 'Cleaned', 1, NULL, 1767231000.0, 1767231000.0, '{"n":5}', 7, 8, 1, 1);
INSERT INTO event VALUES (13, 'de9f17bea8-r8.0', 'upgraded/clean', 'Cleaned', 1, NULL, 1767231000.0, 1767231000.0, '{"n":6}', 8, 9, 1, 1);
INSERT INTO event VALUES (14, 'de9f17bea8-r9.0', 'upgraded/clean', 'Cleaned', 1, NULL, 1767231000.0, 1767231000.0, '{"n":7}', 9, 10, 1, 1);
INSERT INTO event VALUES (15, 'de9f17bea8-r10.0', 'upgraded/clean', 'Cleaned', 1, NULL, 1767231000.0, 1767231000.0, '{"n":8}', 10, 11, 1, 1);
INSERT INTO run VALUES (1, 1, 'clean', 0, 3, 1, 1, 1767225600.0, 1767225600.0, NULL, NULL, NULL, 1767225600.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (2, 2, 'clean', 0, 2, 2, 1, 1767229200.0, NULL, 8200.0, 1767232800.0, 'OSError: the warehouse is away', 1767225600.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (3, 3, 'clean', 0, 2, 0, 1, 1767229200.0, NULL, 8200.0, 1767232800.0, 'Later: not yet', 1767225600.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (4, 4, 'clean', 0, 4, 1, 1, 1767225600.0, 1767225600.0, NULL, NULL, 'Reject: it will never do', 1767225600.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (5, 5, 'train', 5, 3, 1, 1, 1767225600.0, 1767225600.0, NULL, NULL, NULL, 1767222600.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (6, 7, 'report', 0, 3, 1, 1, 1767229200.0, 1767229200.0, NULL, NULL, NULL, 1767229200.0, NULL, 78, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (7, 8, 'clean', 0, 3, 1, 1, 1767231000.0, 1767231000.0, NULL, NULL, NULL, 1767231000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (8, 9, 'clean', 0, 3, 1, 1, 1767231000.0, 1767231000.0, NULL, NULL, NULL, 1767231000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (9, 10, 'clean', 0, 3, 1, 1, 1767231000.0, 1767231000.0, NULL, NULL, NULL, 1767231000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (10, 11, 'clean', 0, 3, 1, 1, 1767231000.0, 1767231000.0, NULL, NULL, NULL, 1767231000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (11, 12, 'train', 5, 1, 1, 1, 1767231000.0, NULL, NULL, NULL, NULL, 1767228000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (12, 13, 'train', 5, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 1767228000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (13, 14, 'train', 5, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 1767228000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO run VALUES (14, 15, 'train', 5, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 1767228000.0, NULL, 7, NULL, NULL, NULL, NULL);
INSERT INTO attempt VALUES (2, 1, 1, 1767225600.0, 1767225600.0, 'failed', 'OSError: the warehouse is away', 'Traceback (most recent call last):
  File "/srv/upgraded/tests/journal/states.py", line 45, in clean
    raise OSError("the warehouse is away")
OSError: the warehouse is away
');
INSERT INTO attempt VALUES (3, 1, 1, 1767225600.0, 1767225600.0, 'later', 'Later: not yet', '');
INSERT INTO attempt VALUES (4, 1, 1, 1767225600.0, 1767225600.0, 'dead', 'Reject: it will never do', 'Traceback (most recent call last):
  File "/srv/upgraded/tests/journal/states.py", line 49, in clean
    raise Reject("it will never do")
triggers.errors.Reject: it will never do
');
INSERT INTO attempt VALUES (2, 2, 1, 1767229200.0, 1767229200.0, 'failed', 'OSError: the warehouse is away', 'Traceback (most recent call last):
  File "/srv/upgraded/tests/journal/states.py", line 45, in clean
    raise OSError("the warehouse is away")
OSError: the warehouse is away
');
INSERT INTO attempt VALUES (3, 1, 1, 1767229200.0, 1767229200.0, 'later', 'Later: not yet', '');
INSERT INTO identity VALUES ('test'||X'00'||'a1', 1, 1767225600.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a2', 2, 1767225600.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a3', 3, 1767225600.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a4', 4, 1767225600.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a5', 8, 1767231000.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a6', 9, 1767231000.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a7', 10, 1767231000.0, 0);
INSERT INTO identity VALUES ('test'||X'00'||'a8', 11, 1767231000.0, 0);
INSERT INTO identity VALUES ('timer'||X'00'||'report@2026-01-01T01:00:00Z', 7, 1767229200.0, 0);
INSERT INTO ledger VALUES ('timer', X'7265706F7274', X'313736373232393230302E3020657665727928316829', 7);

PRAGMA journal_mode = WAL;
PRAGMA cache_size = -16000;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, weight REAL, payload BLOB);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO item SELECT i, 'item-' || (i * 7919 % 60013), i * 0.25, zeroblob(i % 700) FROM n;
COMMIT;
CREATE INDEX item_by_name ON item(name);
CREATE INDEX item_by_weight ON item(weight DESC, name);
SELECT count(*), sum(length(payload)), min(name), max(name) FROM item;
SELECT name, weight FROM item WHERE name LIKE 'item-12%' ORDER BY weight DESC LIMIT 10;
UPDATE item SET payload = zeroblob(2000) WHERE id % 10 = 0;
DELETE FROM item WHERE id % 3 = 0;
SELECT substr(name, 6, 2) AS start, count(*) AS c, round(avg(weight), 3)
  FROM item GROUP BY start ORDER BY c DESC, start LIMIT 20;
SELECT count(*) FROM item a JOIN item b ON b.name = 'item-' || (a.id % 1000);
SELECT group_concat(name, ',') FROM (SELECT name FROM item ORDER BY name DESC LIMIT 200);
VACUUM;
PRAGMA integrity_check;
SELECT count(*), sum(length(payload)) FROM item;

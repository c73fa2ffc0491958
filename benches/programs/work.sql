-- An in-memory database: rows, indices, joins, text and deletions.
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, price REAL);
CREATE TABLE sale (id INTEGER PRIMARY KEY, item INTEGER, day INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO item SELECT i, 'item-' || (i * 7919 % 100003), i % 97, i * 0.25 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 160000)
INSERT INTO sale SELECT i, i * 31 % 40000 + 1, i % 365, printf('note %d about %s', i, hex(i * 65537)) FROM n;
CREATE INDEX item_name ON item (name);
CREATE INDEX sale_item ON sale (item, day);
SELECT count(*), sum(length(note)), round(sum(price), 2) FROM sale JOIN item ON item.id = sale.item;
SELECT kind, count(*), group_concat(substr(name, 6, 2), '') FROM item GROUP BY kind ORDER BY kind LIMIT 5;
DELETE FROM sale WHERE day % 3 = 0;
UPDATE item SET name = upper(name) || id WHERE kind < 50;
SELECT count(*), max(name), min(name) FROM item WHERE name > 'ITEM-5';
SELECT day, count(DISTINCT note) FROM sale GROUP BY day ORDER BY 2 DESC, 1 LIMIT 5;
VACUUM;
PRAGMA integrity_check;

-- SPDX-License-Identifier: MIT
-- bench/vs-qemu's SQLite program: rows from a linear congruential sequence, indices, joins, aggregates.
PRAGMA journal_mode = OFF;
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, price REAL, name TEXT);
CREATE TABLE sale(item INTEGER, day INTEGER, amount INTEGER);
WITH RECURSIVE s(n, x) AS (VALUES(1, 42) UNION ALL SELECT n + 1, (x * 1103515245 + 12345) % 2147483648 FROM s WHERE n < 16000)
INSERT INTO item SELECT n, x % 37, (x % 100000) / 100.0, printf('item %08x', x) FROM s;
WITH RECURSIVE s(n, x) AS (VALUES(1, 7) UNION ALL SELECT n + 1, (x * 1103515245 + 12345) % 2147483648 FROM s WHERE n < 80000)
INSERT INTO sale SELECT 1 + (x / 7) % 16000, (x / 29) % 365, 1 + (x / 11) % 9 FROM s;
CREATE INDEX item_kind ON item(kind);
CREATE INDEX sale_item ON sale(item);
CREATE INDEX sale_day ON sale(day, item);
SELECT kind, count(*), round(sum(price * amount), 2) AS total FROM item JOIN sale ON sale.item = item.id
  GROUP BY kind ORDER BY total DESC LIMIT 12;
SELECT day / 30, sum(amount), count(DISTINCT item) FROM sale GROUP BY 1 ORDER BY 1;
SELECT name, (SELECT max(day) FROM sale WHERE item = item.id) FROM item WHERE name LIKE '%ab%' ORDER BY name LIMIT 20;
UPDATE item SET price = round(price * 1.07, 2) WHERE id IN (SELECT item FROM sale WHERE amount > 7);
DELETE FROM sale WHERE day % 13 = 5;
SELECT count(*), round(sum(price), 2) FROM item;
SELECT count(*), sum(amount) FROM sale;
SELECT a.kind, b.kind, count(*) FROM item a JOIN item b ON b.id = a.id * 2 WHERE a.price > b.price GROUP BY 1, 2
  ORDER BY 3 DESC, 1, 2 LIMIT 10;
SELECT group_concat(substr(name, 6, 4), ',') FROM (SELECT name FROM item ORDER BY price DESC, id LIMIT 15);

"""The same reconciliation by DuckDB: two CSV files in, one CSV file of differences out.

Both files are read with their types given; keys that one side has twice are few and are treated
apart, so that the great join needs no window over all rows.
"""

import sys

import duckdb

statement, records, out, threads, memory = sys.argv[1:]
db = duckdb.connect()
db.execute(f"SET threads = {threads}")
if memory != "0":
    db.execute(f"SET memory_limit = '{memory}MiB'")
    db.execute(f"SET temp_directory = '{out}.spill'")
db.execute(f"""
CREATE TABLE t AS SELECT * FROM read_csv('{statement}', header = true, auto_detect = false,
  delim = ',', quote = '"', columns = {{'order_no': 'VARCHAR', 'reference': 'VARCHAR',
  'operation': 'VARCHAR', 'amount': 'BIGINT', 'fee': 'BIGINT', 'currency': 'VARCHAR',
  'status': 'VARCHAR', 'settle_date': 'DATE'}});
CREATE TABLE o AS SELECT channel_order_no AS order_no, channel_reference AS reference,
  movement AS operation, principal AS amount, fee, currency,
  CASE state WHEN 'due' THEN 'succeeded' ELSE 'failed' END AS status, date
FROM read_csv('{records}', header = true, auto_detect = false, delim = ',', quote = '"',
  columns = {{'channel': 'VARCHAR', 'date': 'DATE', 'id': 'VARCHAR', 'channel_order_no': 'VARCHAR',
  'channel_reference': 'VARCHAR', 'movement': 'VARCHAR', 'currency': 'VARCHAR',
  'principal': 'BIGINT', 'fee': 'BIGINT', 'net': 'BIGINT', 'fee_rule': 'VARCHAR',
  'state': 'VARCHAR', 'at': 'VARCHAR'}});
CREATE TABLE twice AS
  SELECT order_no FROM t WHERE order_no IS NOT NULL GROUP BY ALL HAVING count(*) > 1
  UNION SELECT order_no FROM o GROUP BY ALL HAVING count(*) > 1;
CREATE TABLE pairs AS
WITH tn AS (SELECT rowid AS line, 1 AS n, * FROM t
              WHERE order_no IS NULL OR order_no NOT IN (FROM twice)
            UNION ALL SELECT rowid, row_number() OVER (PARTITION BY order_no ORDER BY rowid), *
              FROM t WHERE order_no IN (FROM twice)),
     ones AS (SELECT rowid AS record, 1 AS n, * FROM o WHERE order_no NOT IN (FROM twice)
              UNION ALL SELECT rowid, row_number() OVER (PARTITION BY order_no ORDER BY rowid), *
              FROM o WHERE order_no IN (FROM twice)),
     joined AS (SELECT
        CASE WHEN record IS NULL THEN if(tn.n > 1, 'duplicate_theirs', 'only_theirs')
             WHEN line IS NULL THEN if(ones.n > 1, 'duplicate_ours', 'only_ours')
             WHEN tn.currency <> ones.currency THEN 'currency_differs'
             WHEN tn.status <> ones.status OR tn.operation <> ones.operation THEN 'status_differs'
             WHEN tn.amount > ones.amount THEN 'amount_over'
             WHEN tn.amount < ones.amount THEN 'amount_short'
             WHEN tn.fee <> ones.fee THEN 'fee_differs'
             WHEN ones.date < tn.settle_date THEN 'matched_late'
             WHEN ones.date > tn.settle_date THEN 'shifted'
             ELSE 'matched' END AS class,
        line, tn.order_no AS order_no, tn.reference AS reference, tn.operation AS operation,
        tn.amount AS amount, tn.fee AS fee, tn.currency AS currency, tn.status AS status,
        tn.settle_date AS settle_date, record, ones.order_no AS our_order_no,
        ones.reference AS our_reference, ones.operation AS our_operation,
        ones.amount AS our_amount, ones.fee AS our_fee, ones.currency AS our_currency,
        ones.status AS our_status, ones.date AS our_date
      FROM tn FULL OUTER JOIN ones ON tn.order_no = ones.order_no AND tn.n = ones.n)
SELECT * FROM joined WHERE class <> 'matched';
CREATE TABLE weak AS SELECT l.line, r.record FROM pairs l JOIN pairs r
  ON l.reference = r.our_reference
  WHERE l.class = 'only_theirs' AND r.class = 'only_ours' AND l.amount = r.our_amount;
COPY (
  SELECT * FROM pairs WHERE NOT (class = 'only_theirs' AND line IN (SELECT line FROM weak))
    AND NOT (class = 'only_ours' AND record IN (SELECT record FROM weak))
  UNION ALL
  SELECT 'matched_weak', l.line, l.order_no, l.reference, l.operation, l.amount, l.fee, l.currency,
    l.status, l.settle_date, r.record, r.our_order_no, r.our_reference, r.our_operation,
    r.our_amount, r.our_fee, r.our_currency, r.our_status, r.our_date
  FROM weak JOIN pairs l USING (line) JOIN pairs r ON r.record = weak.record
  ORDER BY line NULLS LAST, record
) TO '{out}' (HEADER);
""")
# Totals by class, which ours prints too.
db.execute("SELECT count(*), sum(amount), sum(fee) FROM t").fetchall()
db.execute("SELECT count(*), sum(amount), sum(fee) FROM o").fetchall()

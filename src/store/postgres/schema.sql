-- The books in PostgreSQL: step 1 of the schema. It is applied at the first start on an empty
-- database, whole or not at all.
--
-- Words are text with the values that the API knows, money is bigint in minor units, numbers of
-- orders are bigint (19 digits). Lists that are read with their row alone are json.
--
-- Rows that a payment's second commit changes (orders, attempts) have room on their page, and no
-- index has a column that it changes: so the commit stays on that page. No foreign keys, which would
-- lock the parent for each child.

CREATE TABLE schema_steps (
  step integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO schema_steps (step) VALUES (1);

-- The fingerprints of the keys that the books were used with.
CREATE TABLE key_prints (
  name text PRIMARY KEY,
  print text NOT NULL
);

-- The mark of a move of the books (`switchyard store move`), from here or to here: while it is there,
-- no node opens them.
CREATE TABLE moves (
  id text PRIMARY KEY,
  role text NOT NULL CHECK (role IN ('source', 'target')),
  state text NOT NULL CHECK (state IN ('under_way', 'whole')),
  other text NOT NULL,
  kind bigint NOT NULL,
  last bytea
);

-- One row for each node that has opened the books; each opening raises its incarnation. Leases end by
-- this database's clock; behind the fence nothing of the incarnation is committed.
CREATE TABLE nodes (
  node integer PRIMARY KEY CHECK (node BETWEEN 0 AND 999),
  incarnation bigint NOT NULL,
  address text NOT NULL,
  -- Null until the first renewal; a start has half a minute for that.
  lease_until timestamptz,
  opened_at timestamptz NOT NULL DEFAULT now(),
  fenced_at timestamptz,
  epoch_seen bigint NOT NULL DEFAULT 0,
  history_lost_at timestamptz,
  -- The last version of the settings that it can run, and why it cannot run a later one.
  loaded bigint NOT NULL DEFAULT 0,
  load_problem text NOT NULL DEFAULT ''
);

-- How many joins, fences and leaves there were: each raises it, as the last that its transaction
-- does. A node's part of what is shared is that of an epoch, and epoch_seen the last one that it
-- has in force.
CREATE TABLE cluster_epoch (epoch bigint NOT NULL);
INSERT INTO cluster_epoch (epoch) VALUES (0);

-- Who does which part of the work; it holds as long as its node's lease.
CREATE TABLE work_leases (
  name text PRIMARY KEY,
  node integer NOT NULL,
  incarnation bigint NOT NULL
);

-- What all nodes run alike: each publication of a BIN table, of the routes or of a channel file.
-- Versions of all kinds are counted together; each takes effect on all nodes at active_at.
CREATE TABLE setting_versions (
  kind text NOT NULL CHECK (kind IN ('bin_table', 'channel', 'routes')),
  name text NOT NULL,
  version bigint NOT NULL,
  active_at timestamptz NOT NULL,
  sha256 text NOT NULL,
  body bytea NOT NULL,
  note text NOT NULL,
  made_by text NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (kind, name, version)
);
CREATE TABLE setting_head (last bigint NOT NULL);
INSERT INTO setting_head (last) VALUES (0);

-- Statement files that have landed at any node, and their content in parts of 1 MB.
CREATE TABLE statement_files (
  channel text NOT NULL,
  date date NOT NULL,
  name text NOT NULL,
  sha256 text NOT NULL,
  bytes bigint NOT NULL,
  landed_at timestamptz NOT NULL,
  origin text NOT NULL,
  brought_by text NOT NULL,
  refused text NOT NULL DEFAULT '',
  PRIMARY KEY (channel, date, name),
  CONSTRAINT statement_files_content UNIQUE (channel, date, sha256)
);
CREATE TABLE statement_parts (
  sha256 text NOT NULL,
  part bigint NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (sha256, part)
);

-- What the last sign-on of each terminal of a channel's links has brought: under its master key, and
-- sealed as card numbers are.
CREATE TABLE link_keys (
  channel text NOT NULL,
  terminal text NOT NULL,
  sealed_key text NOT NULL,
  sealed_nonce bytea NOT NULL,
  sealed bytea NOT NULL,
  signed_on_at timestamptz NOT NULL,
  PRIMARY KEY (channel, terminal)
);

-- What is taken of a channel's clearing day, with what nodes have drawn and not used yet.
CREATE TABLE channel_volumes (
  channel text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('charges', 'payouts')),
  date date NOT NULL,
  used_minor bigint NOT NULL CHECK (used_minor >= 0),
  PRIMARY KEY (channel, kind, date)
) WITH (fillfactor = 55);

-- Until when a channel's breaker keeps orders away; NULL if it was open, and is closed.
CREATE TABLE channel_breakers (
  channel text PRIMARY KEY,
  open_until timestamptz
);

-- The channels that operators have switched off: who, when and why is in the audit trail.
CREATE TABLE channels_off (
  channel text PRIMARY KEY
);

-- One row for each writer: the number of its last group of commits. Whoever holds the row knows
-- whether that group was committed; void says that it never will be.
CREATE TABLE writers (
  node integer NOT NULL,
  writer integer NOT NULL,
  incarnation bigint NOT NULL,
  last bigint NOT NULL,
  void boolean NOT NULL,
  PRIMARY KEY (node, writer)
) WITH (fillfactor = 20);

CREATE TABLE order_numbers (
  yymmdd bigint NOT NULL,
  node integer NOT NULL,
  given bigint NOT NULL,
  PRIMARY KEY (yymmdd, node)
);

-- Whoever writes what others only read, and decide by, holds the channel's row until its end.
CREATE TABLE channel_locks (
  channel text PRIMARY KEY,
  taken bigint NOT NULL DEFAULT 0
);

CREATE TABLE orders (
  id bigint PRIMARY KEY,
  caller text NOT NULL,
  caller_order_id text NOT NULL,
  kind text NOT NULL CHECK (kind IN
    ('payment', 'undo', 'refund', 'void', 'preauth', 'capture', 'payout', 'release')),
  original bigint,
  original_attempt smallint,
  merchant_id text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  settlement text NOT NULL CHECK (settlement IN ('instant', 'escrow')),
  merchant_category integer,
  merchant_fee_minor bigint,
  agreement bigint,
  code_masked text,
  code_digest bytea,
  account_kind text,
  account_masked text,
  account_digest bytea,
  account_name_digest bytea,
  card_masked text,
  pan_digest bytea,
  field_digests bytea,
  bin text,
  pan_length smallint,
  issuer_code text,
  issuer_name text,
  card_name text,
  card_type text,
  brand text,
  second_brand text,
  description text,
  notify_url text,
  -- Rule, its place, the BIN table's version, the channels kept, and those struck with the reason.
  route json,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  status text NOT NULL CHECK (status IN
    ('accepted', 'processing', 'unknown', 'succeeded', 'failed', 'reversed')),
  reason text,
  candidates json NOT NULL,
  released_minor bigint NOT NULL CHECK (released_minor >= 0),
  refunded_minor bigint NOT NULL,
  captured_minor bigint NOT NULL,
  from_escrow_minor bigint NOT NULL,
  contradicted_minor bigint NOT NULL,
  given_back_minor bigint NOT NULL,
  fee_back_minor bigint NOT NULL,
  sealed_key text,
  sealed_nonce bytea,
  sealed_pan bytea,
  accounting_sequence integer NOT NULL,
  clearing_date date,
  charged_minor bigint,
  charged_rule text,
  charged_refund text,
  finished_at timestamptz,
  CONSTRAINT orders_caller UNIQUE (caller, caller_order_id),
  CONSTRAINT orders_end CHECK
    ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'reversed'))),
  CONSTRAINT orders_claims CHECK (refunded_minor + captured_minor <= amount_minor)
) WITH (fillfactor = 55);
CREATE INDEX orders_original ON orders (original, id) WHERE original IS NOT NULL;

CREATE TABLE attempts (
  order_id bigint NOT NULL,
  number smallint NOT NULL,
  channel text NOT NULL,
  operation text NOT NULL,
  sent_at timestamptz NOT NULL,
  -- When the channel was told of its number before, to send the code that it is paid with.
  announced_at timestamptz,
  state text NOT NULL CHECK (state IN
    ('sending', 'pending', 'unknown', 'approved', 'declined', 'not_sent', 'reversed')),
  channel_reference text,
  acknowledged_at timestamptz,
  code text,
  reason text,
  unknown_cause text,
  objection text,
  unresolved_at timestamptz,
  ended_at timestamptz,
  ended_by text,
  sealed_key text,
  sealed_nonce bytea,
  sealed_pan bytea,
  PRIMARY KEY (order_id, number)
) WITH (fillfactor = 55);

-- Attempts that are in flight, and the incarnation of the node that carries each out; 0 is nobody.
CREATE TABLE in_flight (
  order_id bigint PRIMARY KEY,
  attempt smallint NOT NULL,
  node integer NOT NULL DEFAULT 0,
  incarnation bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 55);

CREATE TABLE reversal_entries (
  order_id bigint PRIMARY KEY,
  opened_at timestamptz NOT NULL,
  version bigint NOT NULL,
  attempt smallint NOT NULL,
  channel text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  phase text NOT NULL CHECK (phase IN ('inquiring', 'reversing', 'undo_owed', 'operator')),
  step integer NOT NULL,
  due_at timestamptz,
  pending boolean NOT NULL,
  reversal_left_at timestamptz,
  reversal_ends_at timestamptz,
  reversals_unanswered bigint NOT NULL,
  reversal_refused boolean NOT NULL,
  reversals_exhausted boolean NOT NULL,
  inquiries bigint NOT NULL,
  reversals bigint NOT NULL,
  history json NOT NULL
);
CREATE INDEX reversal_entries_due ON reversal_entries (channel, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE transactions (
  order_id bigint PRIMARY KEY,
  movement text NOT NULL,
  channel text NOT NULL,
  attempt_order bigint NOT NULL,
  attempt smallint NOT NULL,
  channel_reference text,
  merchant_id text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  clearing_date date NOT NULL,
  at timestamptz NOT NULL,
  source text NOT NULL,
  transcript text NOT NULL
);

-- No records from a day on that is shut; a close shuts its day.
CREATE TABLE clearing_days (
  channel text PRIMARY KEY,
  closed_through date,
  shut_through date,
  CHECK (closed_through IS NULL OR shut_through >= closed_through)
);

CREATE TABLE day_closes (
  channel text NOT NULL,
  date date NOT NULL,
  totals json NOT NULL,
  sha256 bytea NOT NULL,
  closed_by text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (channel, date)
);

CREATE TABLE clearing_records (
  channel text NOT NULL,
  date date NOT NULL,
  attempt_order bigint NOT NULL,
  attempt smallint NOT NULL,
  order_id bigint NOT NULL,
  channel_reference text,
  movement text NOT NULL,
  currency text NOT NULL,
  principal_minor bigint NOT NULL,
  fee_minor bigint NOT NULL,
  net_minor bigint NOT NULL,
  fee_rule text NOT NULL,
  state text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (channel, date, attempt_order, attempt),
  CONSTRAINT clearing_records_net CHECK (net_minor = principal_minor - fee_minor)
);

CREATE TABLE accounting_requests (
  chain bigint NOT NULL,
  sequence integer NOT NULL,
  event text NOT NULL,
  voucher text NOT NULL CHECK (voucher IN ('receipt', 'payment', 'transfer')),
  channel text NOT NULL,
  order_id bigint,
  attempt_order bigint,
  attempt smallint,
  channel_reference text,
  merchant_id text,
  difference bigint,
  settlement bigint,
  bank_reference text,
  currency text NOT NULL,
  entries json NOT NULL,
  debit_minor bigint NOT NULL,
  credit_minor bigint NOT NULL,
  business_date date NOT NULL,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('owed', 'acknowledged', 'parked', 'withdrawn')),
  tries bigint NOT NULL,
  due_at timestamptz NOT NULL,
  acknowledged_at timestamptz,
  last_error text,
  unanswered boolean NOT NULL,
  PRIMARY KEY (chain, sequence),
  CONSTRAINT accounting_requests_balance CHECK (debit_minor = credit_minor),
  CONSTRAINT accounting_requests_source CHECK
    (num_nonnulls(order_id, difference, settlement) = 1)
) WITH (fillfactor = 55);
CREATE INDEX accounting_requests_due ON accounting_requests (due_at) WHERE status = 'owed';
CREATE INDEX accounting_requests_parked ON accounting_requests (chain, sequence)
  WHERE status = 'parked';
CREATE INDEX accounting_requests_withdrawn ON accounting_requests (chain, sequence)
  WHERE status = 'withdrawn';

CREATE VIEW accounting_entries AS
  SELECT r.chain, r.sequence, e.place, e.entry->>0 AS side, e.entry->>1 AS account,
    (e.entry->>2)::bigint AS amount_minor
  FROM accounting_requests r,
    json_array_elements(r.entries) WITH ORDINALITY AS e(entry, place);

CREATE TABLE notices (
  order_id bigint PRIMARY KEY,
  url text NOT NULL,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('owed', 'acknowledged', 'parked', 'withdrawn')),
  tries bigint NOT NULL,
  due_at timestamptz NOT NULL,
  acknowledged_at timestamptz,
  last_error text,
  unanswered boolean NOT NULL
) WITH (fillfactor = 55);
CREATE INDEX notices_due ON notices (due_at) WHERE status = 'owed';
CREATE INDEX notices_parked ON notices (order_id) WHERE status = 'parked';

CREATE TABLE contradictions (
  order_id bigint NOT NULL,
  attempt smallint NOT NULL,
  reported text NOT NULL CHECK (reported IN ('success', 'failure')),
  ordinal smallint NOT NULL,
  source text NOT NULL,
  at timestamptz NOT NULL,
  transcript text NOT NULL,
  channel_reference text,
  undo bigint,
  clearing_date date,
  PRIMARY KEY (order_id, attempt, reported, ordinal)
);

-- What happened to an order beside its rows: each word about an attempt that did not end it at once,
-- each reversal, and each decision of an operator.
CREATE TABLE order_events (
  order_id bigint NOT NULL,
  version bigint NOT NULL,
  ordinal smallint NOT NULL,
  at timestamptz NOT NULL,
  kind text NOT NULL CHECK (kind IN ('learned', 'reversal_sent', 'reversal_answered',
    'handed_to_operator', 'retried', 'resolved', 'withdrawn', 'approved')),
  attempt smallint NOT NULL,
  source text,
  outcome text,
  cause text,
  code text,
  remark text,
  detail text,
  actor text,
  approver text,
  transcript text NOT NULL,
  sent text NOT NULL,
  PRIMARY KEY (order_id, version, ordinal)
);

CREATE TABLE statements (
  channel text NOT NULL,
  date date NOT NULL,
  revision integer NOT NULL,
  sha256 bytea NOT NULL,
  name text NOT NULL,
  bytes bigint NOT NULL,
  origin text NOT NULL,
  taken_by text NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (channel, date, revision)
);

CREATE TABLE found_differences (
  batch bigint NOT NULL,
  ordinal bigint NOT NULL,
  class text NOT NULL,
  difference bigint NOT NULL,
  PRIMARY KEY (batch, ordinal)
);

CREATE TABLE agreed_lines (
  batch bigint NOT NULL,
  part bigint NOT NULL,
  lines bytea NOT NULL,
  PRIMARY KEY (batch, part)
);

CREATE TABLE reconciliations (
  id bigint PRIMARY KEY,
  version bigint NOT NULL,
  channel text NOT NULL,
  date date NOT NULL,
  revision integer NOT NULL,
  state text NOT NULL CHECK (state IN ('running', 'current', 'superseded', 'abandoned')),
  run_by text NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz,
  reason text,
  report json NOT NULL
);
CREATE INDEX reconciliations_of_date ON reconciliations (channel, date, id);
CREATE INDEX reconciliations_of_channel ON reconciliations (channel, id);
CREATE INDEX reconciliations_running ON reconciliations (id) WHERE state = 'running';

-- What can be one row's only is a row.
CREATE TABLE current_reconciliations (
  channel text NOT NULL,
  date date NOT NULL,
  batch bigint NOT NULL UNIQUE,
  PRIMARY KEY (channel, date)
);

CREATE TABLE differences (
  id bigint PRIMARY KEY,
  version bigint NOT NULL,
  channel text NOT NULL,
  class text NOT NULL,
  match_key text NOT NULL,
  line_date date,
  line_digest bytea,
  line_number bigint,
  line_order_no text,
  line_reference text,
  line_item json,
  line_unreadable json,
  record_date date,
  record_order bigint,
  record_attempt smallint,
  record_reference text,
  record_item json,
  state text NOT NULL,
  found_by bigint NOT NULL,
  changed_by bigint NOT NULL,
  opened_at timestamptz NOT NULL,
  due_at timestamptz,
  held json NOT NULL,
  accounting_sequence integer NOT NULL,
  remedy text,
  remedy_reason text,
  history json NOT NULL
);
CREATE INDEX differences_open ON differences (channel, id) WHERE state IN ('carried', 'suspended');
CREATE INDEX differences_due ON differences (due_at) WHERE state = 'carried';

CREATE TABLE difference_records (
  channel text NOT NULL,
  date date NOT NULL,
  attempt_order bigint NOT NULL,
  attempt smallint NOT NULL,
  difference bigint NOT NULL UNIQUE,
  PRIMARY KEY (channel, date, attempt_order, attempt)
);

CREATE TABLE difference_lines (
  channel text NOT NULL,
  date date NOT NULL,
  digest bytea NOT NULL,
  difference bigint NOT NULL UNIQUE,
  PRIMARY KEY (channel, date, digest)
);

CREATE TABLE settlements (
  id bigint PRIMARY KEY,
  version bigint NOT NULL,
  channel text NOT NULL,
  from_date date NOT NULL,
  to_date date NOT NULL,
  currency text NOT NULL,
  receipts json NOT NULL,
  principal_minor bigint NOT NULL,
  fee_minor bigint NOT NULL,
  net_minor bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('agreed', 'differs')),
  reasons json NOT NULL,
  opened_at timestamptz NOT NULL,
  agreed_at timestamptz,
  accounting_sequence integer NOT NULL
);
CREATE INDEX settlements_of_channel ON settlements (channel, id);

-- Of the elements nothing is kept but keyed digests.
CREATE TABLE verifications (
  id bigint PRIMARY KEY,
  caller text NOT NULL,
  caller_order_id text NOT NULL,
  merchant_id text NOT NULL,
  pan_digest bytea NOT NULL,
  element_digests bytea NOT NULL,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  channel text NOT NULL,
  tries smallint NOT NULL CHECK (tries > 0),
  sent_at timestamptz NOT NULL,
  verdict text CHECK (verdict IN ('matches', 'differs', 'refused', 'unknown')),
  reason text,
  unknown_cause text,
  code text,
  ended_at timestamptz,
  CONSTRAINT verifications_caller UNIQUE (caller, caller_order_id),
  CONSTRAINT verifications_end CHECK ((ended_at IS NOT NULL) = (verdict IS NOT NULL))
) WITH (fillfactor = 80);

CREATE TABLE agreements (
  id bigint PRIMARY KEY,
  caller text NOT NULL,
  caller_order_id text NOT NULL,
  merchant_id text NOT NULL,
  card_masked text NOT NULL,
  pan_digest bytea NOT NULL,
  field_digests bytea NOT NULL,
  bin text,
  pan_length smallint,
  issuer_code text,
  issuer_name text,
  card_name text,
  card_type text,
  brand text,
  second_brand text,
  phone_masked text NOT NULL,
  channel text NOT NULL,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('sending_code', 'code_sent', 'code_unknown', 'confirming',
    'unknown', 'active', 'failed', 'ending', 'ended')),
  last_number smallint NOT NULL CHECK (last_number > 0),
  last_sent_at timestamptz NOT NULL,
  confirmation_number smallint,
  confirmation_sent_at timestamptz,
  codes_sent smallint NOT NULL,
  codes_refused smallint NOT NULL,
  reason text,
  unknown_cause text,
  code text,
  transcript text NOT NULL,
  sealed_key text,
  sealed_nonce bytea,
  sealed_pan bytea,
  ends_at timestamptz,
  changed_at timestamptz NOT NULL,
  CONSTRAINT agreements_caller UNIQUE (caller, caller_order_id)
) WITH (fillfactor = 80);
CREATE INDEX agreements_of_merchant ON agreements (merchant_id, id);

-- Codes of payments by SMS: under which number each was sent. A card's digest or an agreement.
CREATE TABLE payment_codes (
  caller text NOT NULL,
  caller_order_id text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('payment', 'preauth')),
  merchant_id text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  pan_digest bytea,
  agreement bigint,
  created_at timestamptz NOT NULL,
  version bigint NOT NULL,
  channel text NOT NULL,
  state text NOT NULL CHECK (state IN ('sending', 'sent', 'unknown', 'refused', 'spent')),
  last_order bigint NOT NULL,
  last_sent_at timestamptz NOT NULL,
  standing_order bigint,
  standing_sent_at timestamptz,
  requests smallint NOT NULL CHECK (requests > 0),
  reason text,
  unknown_cause text,
  code text,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (caller, caller_order_id),
  CHECK ((pan_digest IS NULL) <> (agreement IS NULL)),
  CHECK ((standing_order IS NULL) = (standing_sent_at IS NULL))
) WITH (fillfactor = 80);

-- What an operator asks and a second person decides. Of those that wait, one is about each thing.
CREATE TABLE approvals (
  id bigint PRIMARY KEY,
  kind text NOT NULL,
  subject text NOT NULL,
  action json NOT NULL,
  asked_by text NOT NULL,
  asker text NOT NULL,
  reason text NOT NULL,
  asked_at timestamptz NOT NULL,
  until timestamptz NOT NULL,
  version bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'approved', 'carried_out', 'refused', 'withdrawn',
    'expired', 'overtaken')),
  waits_on text,
  decided_by text,
  decider text,
  decided_at timestamptz,
  decision_reason text,
  ended_at timestamptz,
  outcome text,
  content bytea,
  CONSTRAINT approvals_waits_on UNIQUE (waits_on),
  CHECK ((waits_on IS NULL) = (state NOT IN ('open', 'approved'))),
  CHECK (state NOT IN ('approved', 'carried_out') OR (decider IS NOT NULL AND decider <> asker))
) WITH (fillfactor = 80);

-- What the books teach of the BIN table: one row for each of its rows and each fact.
CREATE TABLE bin_proposals (
  bin text NOT NULL,
  pan_length smallint NOT NULL,
  fact text NOT NULL CHECK (fact IN ('debit', 'credit', 'quasi_credit', 'prepaid', 'retired')),
  table_says text NOT NULL,
  opened_at timestamptz NOT NULL,
  version bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'accepted', 'refused', 'overtaken')),
  bin_table bigint NOT NULL,
  evidence json NOT NULL,
  orders bigint NOT NULL,
  newest bigint NOT NULL,
  changed_at timestamptz NOT NULL,
  decided_by text,
  decided_at timestamptz,
  decision_reason text,
  made_table bigint,
  PRIMARY KEY (bin, pan_length, fact),
  CHECK ((decided_by IS NOT NULL) = (state IN ('accepted', 'refused'))),
  CHECK ((made_table IS NOT NULL) = (state = 'accepted'))
) WITH (fillfactor = 80);
CREATE INDEX bin_proposals_open ON bin_proposals (bin, pan_length) WHERE state = 'open';

CREATE TABLE receipts (
  channel text NOT NULL,
  bank_reference text NOT NULL,
  settlement bigint NOT NULL,
  PRIMARY KEY (channel, bank_reference)
);
CREATE INDEX receipts_of_settlement ON receipts (settlement);

CREATE TABLE settled_dates (
  channel text NOT NULL,
  date date NOT NULL,
  currency text NOT NULL,
  version bigint NOT NULL,
  principal_minor bigint NOT NULL,
  fee_minor bigint NOT NULL,
  net_minor bigint NOT NULL,
  settled_by bigint NOT NULL,
  PRIMARY KEY (channel, date, currency)
);

-- The audit trail, dense and in the order of commits.
CREATE TABLE audit (
  place bigint PRIMARY KEY,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  approver text,
  action text NOT NULL,
  subject text NOT NULL,
  reason text NOT NULL
);
CREATE TABLE audit_head (next bigint NOT NULL);
INSERT INTO audit_head (next) VALUES (1);

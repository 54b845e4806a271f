-- Schema report for transactions. It runs at every start, so each statement can be repeated.
-- The first statement declares the fact table; docs/report.md says how it may change.

CREATE TABLE IF NOT EXISTS report.transaction (
    transaction_id   uuid NOT NULL,
    event_time       timestamptz NOT NULL,
    branch           text NOT NULL,
    region           text,
    city             text,
    currency         text NOT NULL,
    currency_name    text,
    amount           numeric(18,2) NOT NULL,
    amount_eur       numeric(20,2),
    amount_rub       numeric(20,2),
    eur_rate         numeric(18,8),
    rub_rate         numeric(18,8),
    eur_rate_source  text,
    eur_rate_date    date,
    rub_rate_source  text,
    rub_rate_date    date,
    unmatched        text[],
    interval_start   timestamptz NOT NULL,
    arrival_time     timestamptz NOT NULL,
    topic_id       text NOT NULL,
    kafka_partition  integer NOT NULL,
    kafka_offset     bigint NOT NULL,
    payload_hash     bigint NOT NULL,
    PRIMARY KEY (transaction_id, interval_start)
) PARTITION BY RANGE (interval_start);

-- An interval is replaced, and open_position_at reads the one it ends in.
CREATE INDEX IF NOT EXISTS transaction_interval_start ON report.transaction (interval_start);
-- Rows lie in order of arrival, which is nearly that of event time: ranges of blocks are enough.
CREATE INDEX IF NOT EXISTS transaction_event_time
    ON report.transaction USING brin (event_time) WITH (pages_per_range = 32);

COMMENT ON TABLE report.transaction IS
    'Every final transaction once, enriched; repeated ones are left out. One part per month';
COMMENT ON COLUMN report.transaction.transaction_id IS 'Identifies the booking';
COMMENT ON COLUMN report.transaction.event_time IS 'When the branch booked it';
COMMENT ON COLUMN report.transaction.branch IS 'Branch that booked it';
COMMENT ON COLUMN report.transaction.region IS 'Region of the branch; null where it is unknown';
COMMENT ON COLUMN report.transaction.city IS 'City of the branch; null where it is unknown';
COMMENT ON COLUMN report.transaction.currency IS 'ISO 4217 code of the amount';
COMMENT ON COLUMN report.transaction.currency_name IS 'Its name; null where it is unknown';
COMMENT ON COLUMN report.transaction.amount IS
    'In currency; positive when the bank receives, negative when it pays';
COMMENT ON COLUMN report.transaction.amount_eur IS
    'In EUR, by the rate of the day of event_time; null where there is none';
COMMENT ON COLUMN report.transaction.amount_rub IS
    'In RUB, by the rates of the day of event_time; null where there is none';
COMMENT ON COLUMN report.transaction.eur_rate IS 'Units of currency for one EUR';
COMMENT ON COLUMN report.transaction.rub_rate IS 'RUB for one EUR';
COMMENT ON COLUMN report.transaction.eur_rate_source IS 'Who quotes eur_rate';
COMMENT ON COLUMN report.transaction.eur_rate_date IS
    'Day of that quote: the last one up to the day of event_time';
COMMENT ON COLUMN report.transaction.rub_rate_source IS 'Who quotes rub_rate';
COMMENT ON COLUMN report.transaction.rub_rate_date IS
    'Day of that quote: the last one up to the day of event_time';
COMMENT ON COLUMN report.transaction.unmatched IS
    'Reference data that has no row for this transaction; null where all have';
COMMENT ON COLUMN report.transaction.interval_start IS
    'Arrival time at which the interval begins that it came in with';
COMMENT ON COLUMN report.transaction.arrival_time IS
    'When it arrived: Kafka''s time, or the time up to which its partition was complete before';
COMMENT ON COLUMN report.transaction.topic_id IS 'Kafka''s id of the topic that carried it';
COMMENT ON COLUMN report.transaction.kafka_partition IS 'Kafka partition that carried it';
COMMENT ON COLUMN report.transaction.kafka_offset IS 'Its offset there';
COMMENT ON COLUMN report.transaction.payload_hash IS 'Tells repeated events from conflicting ones';


CREATE OR REPLACE VIEW report.transactions AS
SELECT
    transaction_id,
    event_time AS booked_at,
    branch, city, region,
    currency, currency_name,
    amount, amount_eur, amount_rub,
    eur_rate, eur_rate_source, eur_rate_date,
    rub_rate, rub_rate_source, rub_rate_date,
    arrival_time AS arrived_at,
    unmatched IS NOT NULL AS is_incomplete
FROM report.transaction;

COMMENT ON VIEW report.transactions IS
    'Every final transaction once, without what concerns the pipeline alone: one row per booking';
COMMENT ON COLUMN report.transactions.transaction_id IS 'Identifies the booking';
COMMENT ON COLUMN report.transactions.booked_at IS 'When the branch booked it';
COMMENT ON COLUMN report.transactions.branch IS 'Branch that booked it';
COMMENT ON COLUMN report.transactions.city IS 'City of the branch';
COMMENT ON COLUMN report.transactions.region IS 'Region of the branch';
COMMENT ON COLUMN report.transactions.currency IS 'ISO 4217 code of the amount';
COMMENT ON COLUMN report.transactions.currency_name IS 'Name of the currency';
COMMENT ON COLUMN report.transactions.amount IS
    'In currency; positive when the bank receives, negative when it pays';
COMMENT ON COLUMN report.transactions.amount_eur IS 'In EUR, by the rate of the day of booking';
COMMENT ON COLUMN report.transactions.amount_rub IS 'In RUB, by the rates of the day of booking';
COMMENT ON COLUMN report.transactions.eur_rate IS 'Units of currency for one EUR';
COMMENT ON COLUMN report.transactions.eur_rate_source IS 'Who quotes eur_rate';
COMMENT ON COLUMN report.transactions.eur_rate_date IS 'Day of that quote';
COMMENT ON COLUMN report.transactions.rub_rate IS 'RUB for one EUR';
COMMENT ON COLUMN report.transactions.rub_rate_source IS 'Who quotes rub_rate';
COMMENT ON COLUMN report.transactions.rub_rate_date IS 'Day of that quote';
COMMENT ON COLUMN report.transactions.arrived_at IS 'When it arrived here';
COMMENT ON COLUMN report.transactions.is_incomplete IS
    'Whether reference data has no row for it, so that some columns are null';


-- A late event adds to its old hour: its interval brings another row for it.
CREATE OR REPLACE VIEW report.transaction_by_hour AS
SELECT
    event_hour, branch, currency,
    sum(amount) AS amount,
    sum(amount_eur) AS amount_eur,
    sum(amount_rub) AS amount_rub,
    sum(event_count)::bigint AS transactions
FROM report.transaction_hourly
GROUP BY event_hour, branch, currency;

COMMENT ON VIEW report.transaction_by_hour IS
    'Final transactions by hour of booking, branch and currency';
COMMENT ON COLUMN report.transaction_by_hour.event_hour IS 'Hour in which they were booked, UTC';
COMMENT ON COLUMN report.transaction_by_hour.branch IS 'Branch that booked them';
COMMENT ON COLUMN report.transaction_by_hour.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN report.transaction_by_hour.amount IS 'Sum in currency';
COMMENT ON COLUMN report.transaction_by_hour.amount_eur IS 'Sum in EUR of those with a rate';
COMMENT ON COLUMN report.transaction_by_hour.amount_rub IS 'Sum in RUB of those with rates';
COMMENT ON COLUMN report.transaction_by_hour.transactions IS 'How many';


-- One statement, so one snapshot: publishing moves sums from the flow's half to the final half
-- in one transaction, and this sees all of it or nothing. The upper bound, which excludes nothing,
-- and OFFSET, which leaves out nothing, keep the planner to short ranges of the flow's key.
CREATE OR REPLACE VIEW report.open_position_by_branch AS
SELECT
    branch, currency,
    sum(opening + final + live)::numeric(38,2) AS position,
    sum(opening)::numeric(38,2) AS opening,
    sum(final)::numeric(38,2) AS final,
    sum(live)::numeric(38,2) AS live,
    sum(event_count)::bigint AS transactions
FROM (
    SELECT branch_name AS branch, currency_code AS currency,
        batch_value AS opening, 0 AS final, 0 AS live, event_count
    FROM report.transaction_opening
    UNION ALL
    SELECT branch_name, currency_code, 0, sum(batch_value), 0, sum(event_count)
    FROM report.transaction_final
    GROUP BY branch_name, currency_code
    UNION ALL
    SELECT branch_name, currency_code, 0, 0, sum(batch_value), sum(event_count)
    FROM speed.transaction_flow
    WHERE curr_time < 'infinity' AND curr_time >= (
        SELECT coalesce(final_until, '-infinity') FROM control.stream WHERE type = 'transaction')
    GROUP BY branch_name, currency_code
    UNION ALL
    SELECT branch_name, currency_code, 0, 0, batch_value, event_count
    FROM control.interval CROSS JOIN LATERAL (
        SELECT * FROM speed.transaction_flow
        WHERE curr_time >= start_at AND curr_time < end_at OFFSET 0) AS flow
    WHERE type = 'transaction' AND attempt IS NULL
) AS part
GROUP BY branch, currency;

COMMENT ON VIEW report.open_position_by_branch IS
    'What each branch adds to the open position, exact at every moment';
COMMENT ON COLUMN report.open_position_by_branch.branch IS 'Branch';
COMMENT ON COLUMN report.open_position_by_branch.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN report.open_position_by_branch.position IS 'opening + final + live';
COMMENT ON COLUMN report.open_position_by_branch.opening IS
    'Balance that was entered, and what history that was pruned came to';
COMMENT ON COLUMN report.open_position_by_branch.final IS
    'Sum of the final transactions, each once';
COMMENT ON COLUMN report.open_position_by_branch.live IS
    'Sum of what arrived since and is not final; repeated ones count as often as they came';
COMMENT ON COLUMN report.open_position_by_branch.transactions IS 'How many are behind it';


CREATE OR REPLACE VIEW report.open_position AS
SELECT
    currency, name AS currency_name,
    position, limit_amount AS position_limit,
    round(100 * abs(position) / nullif(limit_amount, 0), 1) AS usage_percent,
    abs(position) > limit_amount AS is_breached,
    opening, final, live, transactions,
    final_until, statement_timestamp() - final_until AS final_age,
    live_until, statement_timestamp() - live_until AS live_age
FROM (
    SELECT currency, sum(position)::numeric(38,2) AS position,
        sum(opening)::numeric(38,2) AS opening, sum(final)::numeric(38,2) AS final,
        sum(live)::numeric(38,2) AS live, sum(transactions)::bigint AS transactions
    FROM report.open_position_by_branch
    GROUP BY currency
) AS total
LEFT JOIN reference.currency USING (currency)
LEFT JOIN reference.position_limit USING (currency)
CROSS JOIN (
    SELECT final_until, (
        SELECT CASE WHEN bool_and(watermark IS NOT NULL) THEN min(watermark) END
        FROM control.stream_offset AS o
        WHERE o.type = s.type AND o.topic_id = s.topic_id) AS live_until
    FROM control.stream AS s WHERE type = 'transaction'
) AS clock;

COMMENT ON VIEW report.open_position IS
    'The bank''s open position per currency, exact at every moment, and its limit';
COMMENT ON COLUMN report.open_position.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN report.open_position.currency_name IS 'Name of the currency';
COMMENT ON COLUMN report.open_position.position IS
    'opening + final + live; positive: the bank has received more than it paid';
COMMENT ON COLUMN report.open_position.position_limit IS
    'How far from zero it may be, either way; null: no limit';
COMMENT ON COLUMN report.open_position.usage_percent IS 'Share of the limit that it takes up';
COMMENT ON COLUMN report.open_position.is_breached IS 'Whether it is over the limit';
COMMENT ON COLUMN report.open_position.opening IS
    'Balance that was entered, and what history that was pruned came to';
COMMENT ON COLUMN report.open_position.final IS 'Sum of the final transactions, each once';
COMMENT ON COLUMN report.open_position.live IS
    'Sum of what arrived since and is not final; repeated ones count as often as they came';
COMMENT ON COLUMN report.open_position.transactions IS 'How many are behind it';
COMMENT ON COLUMN report.open_position.final_until IS
    'Arrival time up to which everything was made final, or skipped';
COMMENT ON COLUMN report.open_position.final_age IS 'How long ago that is';
COMMENT ON COLUMN report.open_position.live_until IS
    'Arrival time up to which everything is in it; some of what came later may be, too; null: not'
    ' known of every partition yet';
COMMENT ON COLUMN report.open_position.live_age IS 'How long ago that is';


CREATE OR REPLACE VIEW report.final_position AS
SELECT
    currency, name AS currency_name,
    position, limit_amount AS position_limit,
    round(100 * abs(position) / nullif(limit_amount, 0), 1) AS usage_percent,
    abs(position) > limit_amount AS is_breached,
    transactions, final_until
FROM (
    SELECT currency_code AS currency, sum(batch_value)::numeric(38,2) AS position,
        sum(event_count)::bigint AS transactions
    FROM (
        SELECT currency_code, batch_value, event_count FROM report.transaction_opening
        UNION ALL
        SELECT currency_code, batch_value, event_count FROM report.transaction_final
    ) AS part
    GROUP BY currency_code
) AS total
LEFT JOIN reference.currency USING (currency)
LEFT JOIN reference.position_limit USING (currency)
CROSS JOIN (SELECT final_until FROM control.stream WHERE type = 'transaction') AS clock;

COMMENT ON VIEW report.final_position IS
    'The bank''s position per currency by final transactions alone, and its limit';
COMMENT ON COLUMN report.final_position.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN report.final_position.currency_name IS 'Name of the currency';
COMMENT ON COLUMN report.final_position.position IS
    'Opening balance and all final transactions, each once';
COMMENT ON COLUMN report.final_position.position_limit IS
    'How far from zero it may be, either way; null: no limit';
COMMENT ON COLUMN report.final_position.usage_percent IS 'Share of the limit that it takes up';
COMMENT ON COLUMN report.final_position.is_breached IS 'Whether it is over the limit';
COMMENT ON COLUMN report.final_position.transactions IS 'How many are behind it';
COMMENT ON COLUMN report.final_position.final_until IS
    'Arrival time up to which everything was made final, or skipped';


-- Whole days, the intervals of the day that t is in, the facts of the interval that it is in. It
-- reads tables that its caller may not. Plans depend on what lies before t, so none is kept.
CREATE OR REPLACE FUNCTION report.open_position_at(t timestamptz)
RETURNS TABLE (currency text, "position" numeric, transactions bigint, is_final boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    stream control.stream;
    summed_until timestamptz;
    all_final boolean;
BEGIN
    SELECT * INTO stream FROM control.stream WHERE type = 'transaction';
    IF t < stream.pruned_until THEN
        RAISE EXCEPTION 'what arrived before % was pruned, and is in the opening balance alone',
            stream.pruned_until
            USING ERRCODE = 'invalid_parameter_value', HINT = 'ask for a later moment';
    END IF;
    SELECT start_at INTO summed_until FROM control.interval
    WHERE type = 'transaction' AND start_at <= t ORDER BY start_at DESC LIMIT 1;
    IF t >= stream.final_until THEN
        summed_until := stream.final_until;
    END IF;
    all_final := t <= stream.final_until AND NOT EXISTS (
        SELECT FROM control.interval
        WHERE type = 'transaction' AND attempt IS NULL AND start_at < t);
    RETURN QUERY
    SELECT part.currency_code, sum(part.value)::numeric(38,2), sum(part.events)::bigint,
        coalesce(all_final, false)
    FROM (
        SELECT currency_code, batch_value AS value, event_count AS events
        FROM report.transaction_opening
        UNION ALL
        SELECT currency_code, batch_value, event_count
        FROM report.transaction_final
        WHERE arrival_day < summed_until::date
        UNION ALL
        SELECT currency_code, batch_value, event_count
        FROM report.transaction_interval
        WHERE interval_start >= date_trunc('day', summed_until) AND interval_start < summed_until
        UNION ALL
        SELECT fact.currency, amount, 1
        FROM report.transaction AS fact
        WHERE interval_start = summed_until AND arrival_time < t
        UNION ALL  -- of skipped intervals, and of what follows the ledger, windows of two seconds
        SELECT currency_code, batch_value, event_count
        FROM control.interval CROSS JOIN LATERAL (
            SELECT * FROM speed.transaction_flow
            WHERE curr_time >= start_at AND curr_time < end_at OFFSET 0) AS flow
        WHERE type = 'transaction' AND attempt IS NULL AND start_at < t
            AND curr_time <= t - interval '2 seconds'
        UNION ALL
        SELECT currency_code, batch_value, event_count
        FROM speed.transaction_flow
        WHERE curr_time >= coalesce(stream.final_until, '-infinity')
            AND curr_time <= t - interval '2 seconds'
    ) AS part
    GROUP BY part.currency_code;
END
$$;

COMMENT ON FUNCTION report.open_position_at IS
    'The open position per currency of all that had arrived before t. Of what is not final it has'
    ' the two-second windows that had ended by t; is_final says that all of it is final:'
    ' nothing that still arrives changes it';


CREATE OR REPLACE VIEW report.reconciliation AS
SELECT
    interval_start, end_at AS interval_end,
    branch_name AS branch, currency_code AS currency,
    batch_value AS batch_amount, sums.event_count AS batch_events,
    flow_batch_value AS flow_amount, flow_count AS flow_events,
    batch_value - flow_batch_value AS drift_amount,
    duplicate_batch_value AS duplicate_amount, duplicate_count AS duplicate_events,
    batch_value + duplicate_batch_value - flow_batch_value AS unexplained_amount,
    sums.event_count + duplicate_count - flow_count AS unexplained_events
FROM report.transaction_interval AS sums
JOIN control.interval ON type = 'transaction' AND start_at = interval_start;

COMMENT ON VIEW report.reconciliation IS
    'Batch against flow, per final interval, branch and currency';
COMMENT ON COLUMN report.reconciliation.interval_start IS 'Arrival time at which it begins';
COMMENT ON COLUMN report.reconciliation.interval_end IS 'Arrival time before which it ends';
COMMENT ON COLUMN report.reconciliation.branch IS 'Branch';
COMMENT ON COLUMN report.reconciliation.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN report.reconciliation.batch_amount IS 'Sum of the final transactions';
COMMENT ON COLUMN report.reconciliation.batch_events IS 'How many';
COMMENT ON COLUMN report.reconciliation.flow_amount IS
    'What the flow had when the interval was published';
COMMENT ON COLUMN report.reconciliation.flow_events IS 'How many';
COMMENT ON COLUMN report.reconciliation.drift_amount IS 'batch_amount - flow_amount';
COMMENT ON COLUMN report.reconciliation.duplicate_amount IS
    'Sum of the repeated transactions that were left out';
COMMENT ON COLUMN report.reconciliation.duplicate_events IS 'How many';
COMMENT ON COLUMN report.reconciliation.unexplained_amount IS
    'batch_amount + duplicate_amount - flow_amount: 0, or something is wrong';
COMMENT ON COLUMN report.reconciliation.unexplained_events IS
    'batch_events + duplicate_events - flow_events: 0, or something is wrong';


CREATE OR REPLACE VIEW report.final_interval AS
SELECT
    ledger.start_at AS interval_start, ledger.end_at AS interval_end,
    ledger.attempt IS NULL AS is_skipped,
    events, rows AS transactions, duplicates, conflicts, unmatched,
    ledger.published_at, snapshot AS reference_snapshot
FROM control.interval AS ledger LEFT JOIN control.attempt USING (attempt)
WHERE ledger.type = 'transaction';

COMMENT ON VIEW report.final_interval IS
    'Which intervals of arrival time are final, and what was found in them';
COMMENT ON COLUMN report.final_interval.interval_start IS 'Arrival time at which it begins';
COMMENT ON COLUMN report.final_interval.interval_end IS 'Arrival time before which it ends';
COMMENT ON COLUMN report.final_interval.is_skipped IS
    'Whether it was passed, by an operator or since its events had expired before the first run: its'
    ' sums are the flow''s, its transactions are not here';
COMMENT ON COLUMN report.final_interval.events IS 'Valid events that arrived in it';
COMMENT ON COLUMN report.final_interval.transactions IS 'Of them, those that are counted';
COMMENT ON COLUMN report.final_interval.duplicates IS 'Of them, those that repeat another one';
COMMENT ON COLUMN report.final_interval.conflicts IS
    'Of the duplicates, those with other content than the one that counts';
COMMENT ON COLUMN report.final_interval.unmatched IS
    'Events that found no row, by reference data';
COMMENT ON COLUMN report.final_interval.published_at IS 'When it was last published';
COMMENT ON COLUMN report.final_interval.reference_snapshot IS
    'Number of the copy of the reference data that it was enriched with';

-- Schema report for transactions. Run at every start, so each statement can be repeated.
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
    generation       text NOT NULL,
    kafka_partition  integer NOT NULL,
    kafka_offset     bigint NOT NULL,
    payload_hash     bigint NOT NULL,
    PRIMARY KEY (transaction_id, interval_start)
) PARTITION BY RANGE (interval_start);

-- What the treasury reads beside what is derived from the contract: transactions in its own words,
-- and positions beside their limits. It runs at every start, so each statement can be repeated.

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


CREATE OR REPLACE VIEW report.open_position AS
SELECT
    currency, name AS currency_name,
    position, limit_amount AS position_limit,
    round(100 * abs(position) / nullif(limit_amount, 0), 1) AS usage_percent,
    abs(position) > limit_amount AS is_breached,
    opening, final, live, event_count AS transactions,
    final_until, final_age, live_until, live_age
FROM report.transaction_position
LEFT JOIN reference.currency USING (currency)
LEFT JOIN reference.position_limit USING (currency);

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
    event_count AS transactions, final_until
FROM report.transaction_final_position
LEFT JOIN reference.currency USING (currency)
LEFT JOIN reference.position_limit USING (currency);

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


CREATE OR REPLACE FUNCTION report.open_position_at(t timestamptz)
RETURNS TABLE (currency text, "position" numeric, transactions bigint, is_final boolean)
LANGUAGE sql STABLE
AS $$ SELECT currency, position, event_count, is_final FROM report.transaction_position_at(t) $$;

COMMENT ON FUNCTION report.open_position_at IS
    'The open position per currency of all that had arrived before t; is_final says that nothing'
    ' that still arrives changes it';

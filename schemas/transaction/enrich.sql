-- A transaction with its branch's place, its currency's name, and its amount in EUR and in RUB.
-- Spark SQL over the views `event` and the contract's references; docs/contracts.md has its rules.
--
-- fx_rate has a row for every calendar day (UTC): on days without a quote, the last one before it.
-- Conversions are exact up to their one rounding to cents, half away from zero: the whole part of a
-- quotient and its rest are added. Only the rest's quotient is rounded: it is less than 1, so Spark
-- keeps 20 digits of it, and it is off half a cent by more than 5e-21, since a rate has 18 digits.
SELECT
    event.*,
    branch.region,
    branch.city,
    money.name AS currency_name,
    own.per_eur AS eur_rate,
    own.source AS eur_rate_source,
    own.rate_date AS eur_rate_date,
    rub.per_eur AS rub_rate,
    rub.source AS rub_rate_source,
    rub.rate_date AS rub_rate_date,
    CAST(
        (event.amount - event.amount % own.per_eur) / own.per_eur
        + round(event.amount % own.per_eur / own.per_eur, 2)
        AS decimal(20, 2)
    ) AS amount_eur,
    CAST(
        (event.amount * rub.per_eur - event.amount * rub.per_eur % own.per_eur) / own.per_eur
        + round(event.amount * rub.per_eur % own.per_eur / own.per_eur, 2)
        AS decimal(20, 2)
    ) AS amount_rub,
    array_compact(array(
        CASE WHEN branch.branch IS NULL THEN 'branch' END,
        CASE WHEN money.currency IS NULL THEN 'currency' END,
        CASE WHEN own.per_eur IS NULL OR rub.per_eur IS NULL THEN 'fx_rate' END
    )) AS unmatched
FROM event
LEFT JOIN branch ON branch.branch = event.branch
LEFT JOIN currency AS money ON money.currency = event.currency
LEFT JOIN fx_rate AS own ON own.currency = event.currency AND own.day = date(event.event_time)
LEFT JOIN fx_rate AS rub ON rub.currency = 'RUB' AND rub.day = date(event.event_time)

-- Units of each currency for one euro, by day: a quote stands until the next one. Rates are carried a
-- month beyond the refresh, since an enrichment may take an older snapshot.
WITH quote AS (
  SELECT currency, day, per_eur, 'ecb' AS source, 0 AS rank FROM fx_rate_ecb
  UNION ALL
  SELECT currency, day, per_eur, source, 1 AS rank FROM fx_manual
),
-- Where both have one for a day, the bank's stands.
chosen AS (
  SELECT currency, day, min_by(struct(per_eur, source), rank) AS of
  FROM quote LEFT SEMI JOIN currency USING (currency)
  WHERE currency <> 'EUR' AND day <= date_add(:today, 31)
  GROUP BY currency, day
),
standing AS (
  SELECT *, coalesce(
    date_sub(lead(day) OVER (PARTITION BY currency ORDER BY day), 1), date_add(:today, 31)
  ) AS last
  FROM chosen
)
SELECT currency, explode(sequence(day, last)) AS day, of.per_eur, day AS rate_date, of.source
FROM standing
UNION ALL
-- The euro's own rate is 1 by definition.
SELECT currency, day, 1 AS per_eur, day AS rate_date, 'definition' AS source
FROM (
  SELECT currency, explode(sequence(date'1999-01-01', date_add(:today, 31))) AS day
  FROM currency WHERE currency = 'EUR'
)

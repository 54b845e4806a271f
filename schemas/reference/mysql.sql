-- Reference data that the treasury keeps in MariaDB, in a database of its own.
-- Run at every start of the local stack, so each statement can be repeated; the rows of mysql/*.csv
-- follow it.

CREATE TABLE IF NOT EXISTS currency (
    currency     varchar(3) PRIMARY KEY CHECK (currency RLIKE '^[A-Z]{3}$'),
    name         varchar(64) NOT NULL CHECK (name <> ''),
    minor_units  smallint NOT NULL DEFAULT 2
                 COMMENT 'Digits behind the point: 2 for cents'
                 CHECK (minor_units BETWEEN 0 AND 4)
) COMMENT 'Currencies that the bank has positions in';

CREATE TABLE IF NOT EXISTS position_limit (
    currency      varchar(3) PRIMARY KEY REFERENCES currency (currency),
    limit_amount  decimal(20,2) NOT NULL
                  COMMENT 'How far the open position may be from zero, in units of the currency'
                  CHECK (limit_amount > 0)
) COMMENT 'Limits of open positions; a currency without a row has none';

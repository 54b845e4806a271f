"""What every producer shares: delivery to Kafka, the acknowledgement log, pace and end."""

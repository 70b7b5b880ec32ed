"""What all questions share: processes under measurement, figures with their limits, and the record of them."""

"""Where instances, certificates, managed objects and the journal are kept."""

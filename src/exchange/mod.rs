//! What leaves for Kafka beside actions: dead letters and findings.

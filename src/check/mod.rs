//! Questions asked of each window: (window summary, profile) → findings.

//! Panes of event time, watermarks, and sliding windows of whole panes.

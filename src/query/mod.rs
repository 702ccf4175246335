//! DataFusion at the edge: reading reference and replay files.

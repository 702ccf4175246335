//! Why a record could not be used. Each reason has a name that dead-letter headers, metrics and
//! the API share, and each is one of the classes in the accounting of the input.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// Why a record was rejected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum RejectReason {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl RejectReason {
            /// All reasons, in the order in which metrics list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The reason's name in headers, metrics and the API.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// The record has no value (a Kafka tombstone).
    Tombstone = "tombstone";
    /// The value has no bytes, or only white space.
    Empty = "empty";
    /// The value is larger than `max_record_bytes`.
    TooLarge = "too_large";
    /// The value is not UTF-8.
    InvalidUtf8 = "invalid_utf8";
    /// The value is not JSON.
    InvalidJson = "invalid_json";
    /// The value is JSON, but not an object.
    NotAnObject = "not_an_object";
    /// The field that names the model is absent or null.
    MissingModel = "missing_model";
    /// The record names a model that is not configured for its topic.
    UnknownModel = "unknown_model";
    /// The version is absent or null.
    MissingVersion = "missing_version";
    /// The event time is absent or null.
    MissingTime = "missing_time";
    /// The request id is mapped, but absent or null.
    MissingId = "missing_id";
    /// The version or tenant has a name that is longer than any sane one, or holds control characters.
    InvalidName = "invalid_name";
    /// The model has as many live versions as are watched; this would be a further one.
    TooManyVersions = "too_many_versions";
    /// A field that the record cannot do without has a value of the wrong type.
    WrongType = "wrong_type";
    /// The event time cannot be read in the configured unit.
    InvalidTime = "invalid_time";
    /// The event time is further in the future than `max_future`.
    FutureTimestamp = "future_timestamp";
    /// The event time is further in the past than `max_age`.
    PastTimestamp = "past_timestamp";
    /// The arrays of a batch request have different lengths.
    RowMismatch = "row_mismatch";
    /// A batch request without rows.
    NoRows = "no_rows";
    /// A batch request with more rows than `max_rows_per_record`.
    TooManyRows = "too_many_rows";
}

impl std::fmt::Display for RejectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

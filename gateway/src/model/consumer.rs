//! `consumers`: who uses the APIs.

use super::{
    Collection,
    schema::{Check, Field, Schema},
};

pub(super) fn collection() -> Collection {
    let mut fields = vec![Field::id()];
    fields.extend(Field::timestamps());
    fields.extend([Field::string("username").unique(), Field::string("custom_id").unique(), Field::tags()]);
    let checks = vec![Check::over(Check::AtLeastOneOf, &["custom_id", "username"])];
    Collection::core("consumers", "consumers", Some("username"), Schema { fields, checks, ..Schema::default() })
        .unique(&["username"])
        .unique(&["custom_id"])
}

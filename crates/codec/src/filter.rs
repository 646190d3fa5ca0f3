//! Topic filters: what a client subscribes to, shared subscriptions included.
//!
//! A [`TopicFilter`] is parsed once and holds one text; the part after `$share/{ShareName}/` is found by an offset. Its
//! [`TopicFilter::matches`] is the plain definition of matching, level by level: the reference that faster structures are
//! tested against.

use crate::{TopicError, TopicName, Utf8};
use core::{cmp::Ordering, fmt, hash};

const SHARE_PREFIX: &str = "$share/";

/// A topic filter, validated. [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
#[derive(Clone)]
pub struct TopicFilter {
    text: Utf8,
    /// Where the filter begins in `text`: 0, or behind `$share/{ShareName}/`.
    filter_at: u16,
}

impl TopicFilter {
    /// Validates a filter. The text is shared, not copied.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: Utf8) -> Result<Self, TopicError> {
        let filter_at = check_filter(&text)?;
        Ok(Self { text, filter_at })
    }

    /// The whole filter, with `$share/{ShareName}/` if it has that.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter that topic names are matched against, without `$share/{ShareName}/`.
    pub fn filter(&self) -> &str {
        self.text
            .get(usize::from(self.filter_at)..)
            .unwrap_or_default()
    }

    /// The share name, if this is a shared subscription.
    pub fn share_name(&self) -> Option<&str> {
        let end = usize::from(self.filter_at).checked_sub(1)?;
        self.text.get(SHARE_PREFIX.len()..end)
    }

    /// The levels of [`Self::filter`], from left to right.
    pub fn levels(&self) -> core::str::Split<'_, char> {
        self.filter().split('/')
    }

    /// Whether a wildcard character is in [`Self::filter`].
    pub fn has_wildcard(&self) -> bool {
        self.filter().contains(['#', '+'])
    }

    /// Whether a message published to `topic` is for a subscription with this filter.
    ///
    /// A wildcard in the first level does not match a topic name that begins with `$` [MQTT-4.7.2-1]. Characters are
    /// compared as they are, without normalization [MQTT-4.7.3-4].
    pub fn matches(&self, topic: &TopicName) -> bool {
        if topic.as_str().starts_with('$') && self.filter().starts_with(['#', '+']) {
            return false;
        }
        let mut names = topic.levels();
        for level in self.levels() {
            // `#` also stands for the parent level itself: `a/#` matches `a`.
            if level == "#" {
                return true;
            }
            match names.next() {
                Some(name) if level == "+" || level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// A copy that pins no larger buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            text: self.text.detached(),
            filter_at: self.filter_at,
        }
    }
}

impl TryFrom<&str> for TopicFilter {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        Self::parse(Utf8::try_from(text)?)
    }
}

impl AsRef<str> for TopicFilter {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for TopicFilter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicFilter {}

impl PartialOrd for TopicFilter {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicFilter {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl hash::Hash for TopicFilter {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks the whole text and says where the filter proper begins.
fn check_filter(text: &str) -> Result<u16, TopicError> {
    let Some(shared) = text.strip_prefix(SHARE_PREFIX) else {
        return check_levels(text).map(|()| 0);
    };
    // [MQTT-4.8.2-2] the share name is followed by a separator and a filter.
    let (share_name, filter) = shared.split_once('/').unwrap_or((shared, ""));
    // [MQTT-4.8.2-1] at least one character, and [MQTT-4.8.2-2] none of `/`, `+` and `#`.
    if share_name.is_empty() {
        return Err(TopicError::ShareNameEmpty);
    }
    if share_name.contains(['#', '+']) {
        return Err(TopicError::ShareNameWildcard);
    }
    if filter.is_empty() {
        return Err(TopicError::ShareWithoutFilter);
    }
    check_levels(filter)?;
    u16::try_from(text.len() - filter.len())
        .map_err(|_| TopicError::Text(crate::StringError::TooLong))
}

/// The rules for wildcards.
fn check_levels(filter: &str) -> Result<(), TopicError> {
    // [MQTT-4.7.3-1]
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    // [MQTT-4.7.1-1] `#` stands alone in the last level, so nothing but a `/` may be before it and nothing after it.
    let (head, hash) = match filter.strip_suffix('#') {
        Some(head) => (head, head.is_empty() || head.ends_with('/')),
        None => (filter, true),
    };
    if !hash || head.contains('#') {
        return Err(TopicError::MultiLevelWildcard);
    }
    // [MQTT-4.7.1-2]
    if filter
        .split('/')
        .any(|level| level.len() > 1 && level.contains('+'))
    {
        return Err(TopicError::SingleLevelWildcard);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<TopicFilter, TopicError> {
        TopicFilter::try_from(text)
    }

    fn matches(text: &str, topic: &str) -> bool {
        filter(text)
            .unwrap()
            .matches(&TopicName::try_from(topic).unwrap())
    }

    /// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
    #[test]
    fn wildcards_stand_alone_in_their_level() {
        for good in [
            "#", "+", "a/#", "+/+", "/", "a//#", "/+", "a/+/b", "$SYS/#", "$share", "é/+",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["a#", "#/a", "a/#/b", "##", "a/b#", "/#/", "#+"] {
            assert_eq!(filter(bad), Err(TopicError::MultiLevelWildcard), "{bad}");
        }
        for bad in ["a+", "+a", "++", "a/b+/c", "+é", "a+/#"] {
            assert_eq!(filter(bad), Err(TopicError::SingleLevelWildcard), "{bad}");
        }
        assert_eq!(filter(""), Err(TopicError::Empty));
    }

    /// [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    #[test]
    fn a_shared_subscription_has_a_name_and_a_filter() {
        let shared = filter("$share/group/a/+/#").unwrap();
        assert_eq!(shared.share_name(), Some("group"));
        assert_eq!(shared.filter(), "a/+/#");
        assert_eq!(shared.as_str(), "$share/group/a/+/#");
        assert_eq!(filter("$share/g//a").unwrap().filter(), "/a");
        assert_eq!(filter("$share//a"), Err(TopicError::ShareNameEmpty));
        assert_eq!(filter("$share/"), Err(TopicError::ShareNameEmpty));
        assert_eq!(filter("$share/g"), Err(TopicError::ShareWithoutFilter));
        assert_eq!(filter("$share/g/"), Err(TopicError::ShareWithoutFilter));
        assert_eq!(filter("$share/g+/a"), Err(TopicError::ShareNameWildcard));
        assert_eq!(filter("$share/#/a"), Err(TopicError::ShareNameWildcard));
        assert_eq!(filter("$share/g/a#"), Err(TopicError::MultiLevelWildcard));
        assert_eq!(filter("a/$share/g").unwrap().share_name(), None);
    }

    #[test]
    fn levels_match_one_by_one() {
        assert!(matches("a/b", "a/b"));
        assert!(!matches("a/b", "a/b/c"));
        assert!(!matches("a/b/c", "a/b"));
        assert!(matches("a/+/c", "a//c"));
        assert!(matches("a/#", "a"));
        assert!(matches("a/#", "a/b/c"));
        assert!(!matches("a/#", "ab"));
        assert!(matches("+/+", "/finance"));
        assert!(!matches("+", "/finance"));
        assert!(matches("$share/g/a/+", "a/b"));
        assert!(matches("é/+", "é/ü"));
    }

    /// [MQTT-4.7.2-1]
    #[test]
    fn leading_wildcards_do_not_match_dollar_topics() {
        assert!(!matches("#", "$SYS/broker"));
        assert!(!matches("+/broker", "$SYS/broker"));
        assert!(!matches("$share/g/#", "$SYS/broker"));
        assert!(matches("$SYS/#", "$SYS/broker"));
        assert!(matches("$SYS/+", "$SYS/broker"));
        assert!(matches("#", "a/$SYS"));
    }

    /// [MQTT-4.7.3-4]
    #[test]
    fn characters_are_not_normalized() {
        assert!(!matches("A", "a"));
        assert!(!matches("\u{e9}", "e\u{301}"));
    }
}

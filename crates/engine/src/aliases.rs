//! Topic aliases of one connection, each direction on its own; they end with it [MQTT-3.3.2-7].
//!
//! An alias is only recorded once the frame that sets it is enqueued or was received whole: the other side then
//! knows it too.

use crate::end::Violation;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use weir_codec::TopicName;

/// Aliases the client has set, for what it sends to us.
#[derive(Debug, Default)]
pub(crate) struct InboundAliases {
    topics: Vec<Option<TopicName>>,
}

impl InboundAliases {
    /// The topic of a PUBLISH, from its topic name, its alias, or both [MQTT-3.3.2-12].
    pub(crate) fn resolve(
        &mut self,
        topic: Option<TopicName>,
        alias: Option<u16>,
        maximum: u16,
    ) -> Result<TopicName, Violation> {
        let Some(alias) = alias else {
            return topic.ok_or(Violation::TopicAliasUnknown);
        };
        // [MQTT-3.3.2-9], [MQTT-3.2.2-17], [MQTT-3.2.2-18]: never above the maximum that our CONNACK announced; 0 is
        // refused by the decoder.
        if alias > maximum {
            return Err(Violation::TopicAliasTooLarge);
        }
        let index = usize::from(alias);
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        let slot = self
            .topics
            .get_mut(index)
            .ok_or(Violation::TopicAliasTooLarge)?;
        match topic {
            Some(topic) => {
                *slot = Some(topic.detached());
                Ok(topic)
            }
            None => slot.clone().ok_or(Violation::TopicAliasUnknown),
        }
    }
}

/// How a topic goes out: with an alias, which the client knows already or learns with this frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) number: u16,
    pub(crate) known: bool,
}

/// Aliases we have set, for what we send to the client: the first topics get them, for as long as there are any.
#[derive(Debug, Default)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    numbers: BTreeMap<Box<str>, u16>,
}

impl OutboundAliases {
    /// Aliases from 1 to `maximum`; 0 sends none [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-11].
    pub(crate) fn new(maximum: u16) -> Self {
        Self {
            maximum,
            numbers: BTreeMap::new(),
        }
    }

    /// The alias to send `topic` with, if it has one or can still get one.
    pub(crate) fn choose(&self, topic: &str) -> Option<Alias> {
        /// The property costs three bytes: a shorter topic is cheaper in full.
        const WORTHWHILE_BYTES: usize = 4;
        if self.maximum == 0 || topic.len() < WORTHWHILE_BYTES {
            return None;
        }
        if let Some(number) = self.numbers.get(topic) {
            let number = *number;
            return Some(Alias {
                number,
                known: true,
            });
        }
        let number = u16::try_from(self.numbers.len() + 1).ok()?;
        let maximum = self.maximum + u16::from(fault!(AliasAboveMaximum));
        (number <= maximum).then_some(Alias {
            number,
            known: fault!(AliasKnownTooSoon),
        })
    }

    /// The frame that sets `alias` is enqueued.
    pub(crate) fn record(&mut self, topic: &str, alias: Alias) {
        if !alias.known {
            self.numbers.insert(topic.into(), alias.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::try_from(name).unwrap()
    }

    #[test]
    fn an_inbound_alias_stands_for_the_topic_it_came_with_last() {
        let mut aliases = InboundAliases::default();
        assert_eq!(
            aliases.resolve(None, Some(3), 8),
            Err(Violation::TopicAliasUnknown)
        );
        assert_eq!(
            aliases.resolve(Some(topic("a")), Some(3), 8),
            Ok(topic("a"))
        );
        assert_eq!(aliases.resolve(None, Some(3), 8), Ok(topic("a")));
        assert_eq!(
            aliases.resolve(Some(topic("b")), Some(3), 8),
            Ok(topic("b"))
        );
        assert_eq!(aliases.resolve(None, Some(3), 8), Ok(topic("b")));
        assert_eq!(
            aliases.resolve(Some(topic("c")), Some(9), 8),
            Err(Violation::TopicAliasTooLarge)
        );
    }

    #[test]
    fn an_outbound_alias_is_known_only_after_its_frame_was_enqueued() {
        let mut aliases = OutboundAliases::new(1);
        let unset = Alias {
            number: 1,
            known: false,
        };
        assert_eq!(aliases.choose("long/topic"), Some(unset));
        assert_eq!(aliases.choose("long/topic"), Some(unset));
        aliases.record("long/topic", unset);
        assert_eq!(
            aliases.choose("long/topic"),
            Some(Alias {
                number: 1,
                known: true
            })
        );
        assert_eq!(
            aliases.choose("other/topic"),
            None,
            "all aliases are in use"
        );
    }
}

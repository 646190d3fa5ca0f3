//! The page of the book that lists every way in which a connection is refused or ended, made of the values themselves.
//!
//! Each list is a macro's: its patterns are a `match` without a wildcard, so a variant without a row does not compile. Each
//! row names a test that provokes it, and that such a test exists is checked too. Refresh the page with
//! `UPDATE=1 cargo test -p weir-broker refusals`.

use super::arrival::Turned;
use super::proxy::ProxyFault;
use super::turn_away::reason_code;
use std::fmt::{Display, Write};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use weir_codec::{DecodeError, PacketType, ReasonCode};
use weir_engine::{End, Lost, Refusal as ConnectRefusal, Violation};
use weir_ws::frame::Violation as FrameViolation;
use weir_ws::{HandshakeError, Refusal as HttpRefusal};

const PAGE: &str = "docs/src/refusals.md";

const INTRODUCTION: &str = "\
# Refusals and ends

<!-- Made of the code: UPDATE=1 cargo test -p weir-broker refusals -->

No connection is refused or ended without a word. The client gets a status and body in HTTP, a CONNACK or DISCONNECT in MQTT and a code
and text in the close of its WebSocket; the log has one line with the same words. Here they all are, each with the test that provokes it.
The metric's word is the `reason` in `weir_connections_refused_total` or, from \"After it\" on, in `weir_connections_ended_total`.

";

/// Rows of one type: the compiler refuses a variant that has none.
macro_rules! rows {
    ($type:ty: $($pattern:pat => $value:expr, $test:literal;)*) => {{
        let _complete = |value: &$type| match value { $($pattern => {})* };
        vec![$(($value, $test)),*] as Vec<($type, &'static str)>
    }};
}

/// On the way to the first byte of HTTP or MQTT.
fn turned() -> Vec<(Turned, &'static str)> {
    rows!(Turned:
        Turned::Lost(_) => Turned::Lost(io::ErrorKind::ConnectionReset.into()), "a_socket_that_fails_at_once_is_told_in_the_log";
        Turned::NotAProxy => Turned::NotAProxy, "nobody_else_may_say_where_a_client_is";
        Turned::Proxy(ProxyFault::Absent) => Turned::Proxy(ProxyFault::Absent), "nobody_else_may_say_where_a_client_is";
        Turned::Proxy(ProxyFault::Malformed) => Turned::Proxy(ProxyFault::Malformed), "what_is_no_header_is_said_to_be_none";
        Turned::Proxy(ProxyFault::TooLong) => Turned::Proxy(ProxyFault::TooLong), "what_is_no_header_is_said_to_be_none";
        Turned::Proxy(ProxyFault::Lost(_)) => Turned::Proxy(ProxyFault::Lost(io::ErrorKind::UnexpectedEof.into())), "what_is_no_header_is_said_to_be_none";
        Turned::ProxyTimeout => Turned::ProxyTimeout, "a_proxy_that_says_nothing_is_cut_off";
        Turned::Tls(_) => Turned::Tls(io::Error::other("..")), "clients_certificates_are_demanded_verified_and_revoked";
        Turned::TlsTimeout => Turned::TlsTimeout, "who_dawdles_in_the_handshake_holds_up_nobody_and_is_cut_off";
        Turned::Refused(_) => Turned::Refused(HttpRefusal::TlsExpected), "who_comes_to_the_wrong_port_is_told_which_it_is";
        Turned::Crowded(_) => Turned::Crowded(HttpRefusal::TooManyConnections), "as_many_are_told_as_there_are_escorts";
        Turned::Handshake(HandshakeError::Tls) => Turned::Handshake(HandshakeError::Tls), "who_comes_to_the_wrong_port_is_told_which_it_is";
        Turned::Handshake(HandshakeError::Mqtt) => Turned::Handshake(HandshakeError::Mqtt), "who_comes_to_the_wrong_port_is_told_which_it_is";
        Turned::Handshake(_) => Turned::Handshake(HandshakeError::Silent), "who_says_nothing_in_time_is_not_answered";
    )
}

/// What such a peer sees.
fn seen(turned: &Turned) -> &'static str {
    match turned {
        Turned::Tls(_) => "an alert of TLS",
        Turned::Handshake(HandshakeError::Tls | HandshakeError::Mqtt) => "HTTP 400",
        _ => "the end of the connection",
    }
}

fn http() -> Vec<(HttpRefusal, &'static str)> {
    let words = || "..".to_owned();
    rows!(HttpRefusal:
        HttpRefusal::UnknownPath { .. } => HttpRefusal::UnknownPath { path: "/..".into(), supported: vec!["/".into(), "/mqtt".into()] }, "an_unknown_path_is_told_the_known_ones";
        HttpRefusal::Method { .. } => HttpRefusal::Method { method: "POST".into() }, "other_methods_are_refused";
        HttpRefusal::HttpVersion => HttpRefusal::HttpVersion, "http_1_0_is_told_about_the_proxy";
        HttpRefusal::NotAnUpgrade => HttpRefusal::NotAnUpgrade, "a_handshake_whose_upgrade_was_lost_on_the_way_is_told_so";
        HttpRefusal::Host => HttpRefusal::Host, "host_must_be_there_once";
        HttpRefusal::Body => HttpRefusal::Body, "a_handshake_with_a_body_is_refused";
        HttpRefusal::Version { .. } => HttpRefusal::Version { offered: "8".into() }, "another_version_is_told_the_supported_one";
        HttpRefusal::Key => HttpRefusal::Key, "a_key_that_is_not_sixteen_bytes_is_refused";
        HttpRefusal::Subprotocol { .. } => HttpRefusal::Subprotocol { offered: words() }, "other_subprotocols_are_refused_by_name";
        HttpRefusal::SubprotocolMissing => HttpRefusal::SubprotocolMissing, "no_subprotocol_is_refused_unless_it_is_allowed";
        HttpRefusal::RequestTimeout => HttpRefusal::RequestTimeout, "a_request_that_is_not_complete_in_time_is_told_so";
        HttpRefusal::HeaderTooLarge { .. } => HttpRefusal::HeaderTooLarge { limit_bytes: 40960 }, "headers_of_32_kib_pass_and_far_larger_ones_get_431";
        HttpRefusal::Origin { .. } => HttpRefusal::Origin { origin: "https://..".into() }, "a_page_reads_in_chromium_why_it_is_refused";
        HttpRefusal::TlsExpected => HttpRefusal::TlsExpected, "who_comes_to_the_wrong_port_is_told_which_it_is";
        HttpRefusal::NotHttp => HttpRefusal::NotHttp, "who_comes_to_the_wrong_port_is_told_which_it_is";
        HttpRefusal::TooManyConnections => HttpRefusal::TooManyConnections, "one_connection_too_many_is_told_so_and_one_less_makes_room";
        HttpRefusal::TooManyFromAddress => HttpRefusal::TooManyFromAddress, "a_page_reads_in_chromium_why_it_is_refused";
        HttpRefusal::TooFast => HttpRefusal::TooFast, "connections_that_come_too_fast_get_429_and_when_to_come_back";
    )
}

fn connects() -> Vec<(ConnectRefusal, &'static str)> {
    rows!(ConnectRefusal:
        ConnectRefusal::ClientIdInvalid => ConnectRefusal::ClientIdInvalid, "client_ids_are_judged_by_version";
        ConnectRefusal::BadCredentials => ConnectRefusal::BadCredentials, "users_of_mosquitto_log_in_with_their_passwords_in_every_version";
        ConnectRefusal::NotAuthorized => ConnectRefusal::NotAuthorized, "whom_authentication_refuses_is_told_and_closed";
        ConnectRefusal::WillNotAuthorized => ConnectRefusal::WillNotAuthorized, "a_will_that_is_not_allowed_refuses_the_connection";
        ConnectRefusal::WillTopicInvalid => ConnectRefusal::WillTopicInvalid, "a_will_is_bound_by_what_binds_a_publish";
        ConnectRefusal::BadAuthenticationMethod => ConnectRefusal::BadAuthenticationMethod, "an_authentication_method_is_refused_where_there_is_none";
        ConnectRefusal::AuthenticationUnavailable => ConnectRefusal::AuthenticationUnavailable, "a_webhook_decides_and_without_it_nobody_is_let_in";
        ConnectRefusal::CredentialsExpired => ConnectRefusal::CredentialsExpired, "what_has_expired_already_is_refused";
        ConnectRefusal::AnonymousNotAllowed => ConnectRefusal::AnonymousNotAllowed, "nobody_is_accepted_where_anonymous_is_switched_off";
        ConnectRefusal::ClientIdOfAnother => ConnectRefusal::ClientIdOfAnother, "a_session_is_not_given_to_another_user";
        ConnectRefusal::TooManySessions => ConnectRefusal::TooManySessions, "one_session_too_many_is_refused_and_an_earlier_one_is_resumed";
        ConnectRefusal::TooManyOfUser => ConnectRefusal::TooManyOfUser, "one_user_has_so_many_connections_and_takes_over_its_own";
        ConnectRefusal::UserTooFast => ConnectRefusal::UserTooFast, "a_user_that_connects_too_fast_is_told_when_to_come_back";
        ConnectRefusal::TooManyFailedLogins { .. } => ConnectRefusal::TooManyFailedLogins { retry_seconds: 10 }, "a_guesser_has_to_wait_and_an_honest_user_has_not";
        ConnectRefusal::StoreFull => ConnectRefusal::StoreFull, "a_full_store_refuses_what_it_would_have_to_keep";
        ConnectRefusal::Contested { .. } => ConnectRefusal::Contested { retry_seconds: 30 }, "a_takeover_loop_ends_and_leaves_one_in_peace";
    )
}

fn violations() -> Vec<(Violation, &'static str)> {
    rows!(Violation:
        Violation::SecondConnect => Violation::SecondConnect, "a_second_connect_is_a_protocol_error";
        Violation::Unexpected(_) => Violation::Unexpected("PUBREL"), "nothing_but_auth_and_disconnect_comes_before_connack";
        Violation::UnexpectedAuth => Violation::UnexpectedAuth, "auth_without_an_authentication_method_is_a_violation";
        Violation::AuthenticationMethodChanged => Violation::AuthenticationMethodChanged, "auth_comes_in_order_and_with_the_method_of_connect";
        Violation::ReceiveMaximumExceeded => Violation::ReceiveMaximumExceeded, "a_client_that_does_not_count_can_be_tolerated";
        Violation::TopicAliasTooLarge => Violation::TopicAliasTooLarge, "an_alias_above_the_maximum_is_invalid";
        Violation::TopicAliasUnknown => Violation::TopicAliasUnknown, "an_alias_that_stands_for_nothing_is_a_protocol_error";
        Violation::SessionExpiryRaised => Violation::SessionExpiryRaised, "an_expiry_of_zero_can_not_be_raised_at_disconnect";
        Violation::PublishNotAuthorized => Violation::PublishNotAuthorized, "a_publish_that_is_not_authorized_closes_the_connection";
        Violation::TopicTooDeep => Violation::TopicTooDeep, "a_topic_of_30000_levels_is_refused_by_name";
    )
}

/// All other ends of an accepted connection.
fn ends() -> Vec<(End, &'static str)> {
    let malformed = End::Malformed(DecodeError::FieldPastEnd(PacketType::Publish));
    let broken = Lost::Transport {
        close_code: 1002,
        text: "..",
    };
    rows!(End:
        End::Malformed(DecodeError::PacketTooLarge) => End::Malformed(DecodeError::PacketTooLarge), "a_packet_too_large_for_the_broker_ends_the_connection";
        End::Malformed(DecodeError::UnsupportedProtocolVersion(_)) => End::Malformed(DecodeError::UnsupportedProtocolVersion(6)), "an_unsupported_version_is_refused_by_connack_then_close";
        End::Malformed(DecodeError::ConnectExpected(_)) => End::Malformed(DecodeError::ConnectExpected(PacketType::Publish)), "who_does_not_begin_with_connect_is_closed_without_a_word";
        End::Malformed(_) => malformed, "malformed_packets_of_5_0_get_their_answer";
        End::Disconnected(ReasonCode::Success) => End::Disconnected(ReasonCode::Success), "a_goodbye_discards_the_will";
        End::Disconnected(_) => End::Disconnected(ReasonCode::DisconnectWithWillMessage), "a_goodbye_may_ask_for_the_will";
        End::TakenOver => End::TakenOver, "the_first_5_0_client_is_told_and_closed";
        End::KeepAliveTimeout => End::KeepAliveTimeout, "a_silent_client_is_disconnected_after_one_and_a_half_keep_alives";
        End::ConnectTimeout => End::ConnectTimeout, "a_silent_tcp_client_without_keep_alive_stays";
        End::QueueFull => End::QueueFull, "a_reader_that_stops_costs_others_nothing_and_is_told";
        End::StoreFull => End::StoreFull, "a_full_store_refuses_what_it_would_have_to_keep";
        End::RetainedFull => End::RetainedFull, "the_limit_on_retained_messages_is_told";
        End::AnswerTooLarge => End::AnswerTooLarge, "an_answer_larger_than_the_client_takes_ends_the_connection";
        End::CredentialsExpired => End::CredentialsExpired, "credentials_end_the_connection_to_the_second_and_the_will_is_published";
        End::ReauthenticationRefused(_) => End::ReauthenticationRefused(ConnectRefusal::NotAuthorized), "a_renewal_that_is_refused_ends_the_connection";
        End::PermissionWithdrawn => End::PermissionWithdrawn, "a_changed_file_counts_for_clients_that_are_here";
        End::RateExceeded => End::RateExceeded, "who_sends_more_than_it_may_for_long_is_disconnected";
        End::Shutdown => End::Shutdown, "everybody_is_told_and_the_process_ends_with_status_0";
        End::Lost(Lost::Closed) => End::Lost(Lost::Closed), "a_close_without_disconnect_publishes_the_will";
        End::Lost(Lost::Reset) => End::Lost(Lost::Reset), "a_lost_connection_publishes_the_will";
        End::Lost(Lost::Unresponsive) => End::Lost(Lost::Unresponsive), "a_half_open_socket_is_given_up_when_pings_stay_unanswered";
        // Both have a table of their own.
        End::Lost(Lost::Transport { .. }) => End::Lost(broken), "broken_frames_are_refused_with_1002";
        End::Refused(_) => End::Refused(ConnectRefusal::NotAuthorized), "whom_authentication_refuses_is_told_and_closed";
        End::Violation(_) => End::Violation(Violation::SecondConnect), "a_second_connect_is_a_protocol_error";
    )
}

fn frames() -> Vec<(FrameViolation, &'static str)> {
    use FrameViolation::*;
    rows!(FrameViolation:
        TextFrame => TextFrame, "text_is_refused_with_1003";
        Unmasked => Unmasked, "broken_frames_are_refused_with_1002";
        ReservedBit => ReservedBit, "broken_frames_are_refused_with_1002";
        ReservedOpcode(_) => ReservedOpcode(3), "broken_frames_are_refused_with_1002";
        StrayContinuation => StrayContinuation, "broken_frames_are_refused_with_1002";
        InterruptedMessage => InterruptedMessage, "a_new_message_inside_a_fragmented_one_is_refused_with_1002";
        FragmentedControl => FragmentedControl, "broken_frames_are_refused_with_1002";
        ControlTooLong => ControlTooLong, "broken_frames_are_refused_with_1002";
        LengthOutOfRange => LengthOutOfRange, "a_frame_longer_than_the_protocol_allows_is_refused_at_its_header";
        LengthNotMinimal => LengthNotMinimal, "broken_frames_are_refused_with_1002";
        CloseTooShort => CloseTooShort, "broken_frames_are_refused_with_1002";
        CloseCodeInvalid(_) => CloseCodeInvalid(1005), "broken_frames_are_refused_with_1002";
        CloseReasonNotUtf8 => CloseReasonNotUtf8, "the_transport_passes_every_case_but_the_large_ones";
        TextNotUtf8 => TextNotUtf8, "the_transport_passes_every_case_but_the_large_ones";
    )
}

#[test]
fn the_page_is_made_of_the_code() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root(PAGE), &page).unwrap();
    }
    let refresh = format!("{PAGE} is out of date: UPDATE=1 cargo test -p weir-broker refusals");
    assert!(fs::read_to_string(root(PAGE)).unwrap() == page, "{refresh}");
}

#[test]
fn every_row_names_a_test_that_exists() {
    let mut sources = String::new();
    for folder in ["tests/tests", "crates"] {
        gather(&root(folder), &mut sources);
    }
    let page = page();
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("| Test |");
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    assert!(rows.len() > 90, "all tables are looked at");
    for row in rows {
        let test = row.rsplit('`').nth(1).expect("a test at the end");
        let is_test = !test.is_empty() && sources.contains(&format!("fn {test}("));
        assert!(is_test, "no test {test:?} for {row}");
    }
}

#[test]
fn a_text_fits_the_close_frame() {
    let texts = ends().into_iter().map(|(end, _)| end.to_string());
    let texts = texts.chain(
        connects()
            .into_iter()
            .map(|(refusal, _)| End::Refused(refusal).to_string()),
    );
    let deferred = http()
        .into_iter()
        .filter(|(refusal, _)| refusal.close_code().is_some());
    for text in texts.chain(deferred.map(|(refusal, _)| refusal.to_string())) {
        assert!(text.len() <= 123, "{text}");
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for part in [door, in_http, in_connack, in_disconnect, in_frames] {
        part(&mut page);
    }
    page
}

fn door(page: &mut String) {
    let introduction = "Who gets no further than the door. Where TLS or HTTP is not begun yet, there is no language to answer in.";
    let columns = ["In the log", "The peer sees", "Metric", "Test"];
    table(page, "Before HTTP or MQTT", introduction, &columns);
    let told = |turned: &Turned| !matches!(turned, Turned::Refused(_));
    for (turned, test) in turned().into_iter().filter(|(turned, _)| told(turned)) {
        row(page, &[&turned, &seen(&turned), &turned.label()], test);
    }
}

fn in_http(page: &mut String) {
    let introduction = "The body is what the log says. With `refuse_after_upgrade`, which is on for browsers, the last columns are \
        what happens instead: the upgrade is accepted, a CONNECT is answered, and the WebSocket closes with this code and the text. \
        Without WebSocket, the CONNACK is what there is.";
    let columns = [
        "Status",
        "Text",
        "CONNACK 5.0, 3.x",
        "Close",
        "Metric",
        "Test",
    ];
    table(page, "In HTTP", introduction, &columns);
    for (refusal, test) in http() {
        let (connack, close) = match refusal.close_code() {
            Some(code) => (connack(reason_code(&refusal)), u16::from(code).to_string()),
            None => ("-".into(), "-".into()),
        };
        let status = refusal.status().as_u16();
        let cells: [&dyn Display; 5] = [&status, &refusal, &connack, &close, &refusal.label()];
        row(page, &cells, test);
    }
}

fn in_connack(page: &mut String) {
    let introduction =
        "The text is that of the log, of the close and, in 5.0, of the Reason String.";
    let columns = ["Text", "CONNACK 5.0, 3.x", "Close", "Metric", "Test"];
    table(page, "In answer to CONNECT", introduction, &columns);
    for (refusal, test) in connects() {
        let end = End::Refused(refusal);
        let connack = connack(end.reason_code());
        let cells: [&dyn Display; 4] = [&end, &connack, &end.close_code(), &end.label()];
        row(page, &cells, test);
    }
}

fn in_disconnect(page: &mut String) {
    let introduction = "DISCONNECT exists in 5.0 only; before it, and without WebSocket, the end of the connection is all there is. \
        A client that is gone, or has closed itself, is told nothing.";
    let columns = ["Text", "DISCONNECT", "Close", "Metric", "Test"];
    table(page, "After it", introduction, &columns);
    let violations = violations().into_iter();
    let violations = violations.map(|(violation, test)| (End::Violation(violation), test));
    let elsewhere = |end: &End| {
        matches!(
            end,
            End::Refused(_) | End::Violation(_) | End::Lost(Lost::Transport { .. })
        )
    };
    let others = ends().into_iter().filter(|(end, _)| !elsewhere(end));
    for (end, test) in others.chain(violations) {
        let disconnect = match end {
            End::Disconnected(_) | End::Lost(_) => "-".to_owned(),
            end => code(end.reason_code()),
        };
        let cells: [&dyn Display; 4] = [&end, &disconnect, &end.close_code(), &end.label()];
        row(page, &cells, test);
    }
}

fn in_frames(page: &mut String) {
    let introduction =
        "Faults in its frames. To MQTT they are a lost connection: the will is published.";
    table(
        page,
        "In WebSocket",
        introduction,
        &["Text", "Close", "Metric", "Test"],
    );
    for (violation, test) in frames() {
        let code = u16::from(violation.close_code());
        let close_code = violation.close_code().into();
        let text = violation.as_str();
        let end = End::Lost(Lost::Transport { close_code, text });
        row(page, &[&text, &code, &end.label()], test);
    }
}

fn table(page: &mut String, heading: &str, introduction: &str, columns: &[&str]) {
    let border = columns.iter().map(|_| "---").collect::<Vec<_>>().join("|");
    let columns = columns.join(" | ");
    if !page.ends_with("\n\n") {
        page.push('\n');
    }
    writeln!(
        page,
        "## {heading}\n\n{introduction}\n\n| {columns} |\n|{border}|"
    )
    .unwrap();
}

fn row(page: &mut String, cells: &[&dyn Display], test: &str) {
    for cell in cells {
        write!(page, "| {} ", cell.to_string().replace('|', "\\|")).unwrap();
    }
    writeln!(page, "| `{test}` |").unwrap();
}

fn connack(reason: ReasonCode) -> String {
    format!("{}, {}", code(reason), reason.connack_return_code())
}

fn code(reason: ReasonCode) -> String {
    format!("0x{:02X} {reason}", reason as u8)
}

fn gather(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

//! What each mistake in a file is answered with, word for word: the message is the product here.

use super::*;

/// Parses `text` as `broker.toml` and compares the problems, without the file's name.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = match Config::parse(text, "broker.toml") {
        Ok(_) => Vec::new(),
        Err(error) => messages(&error),
    };
    assert_eq!(found, expected, "in\n{text}");
}

fn messages(error: &ConfigError) -> Vec<String> {
    let text = error.to_string();
    text.lines()
        .map(|line| line.replacen("broker.toml:", "", 1))
        .collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(Config::parse("", "t").unwrap(), Config::defaults());
    assert_eq!(
        Config::parse("[[listener]]\n[limits]\n[log]", "t").unwrap(),
        Config::defaults()
    );
}

#[test]
fn what_is_written_is_what_counts() {
    let text = "shards = 2\n[limits]\nqueue_bytes = 0x200_0000\n[timing]\nping_interval_seconds = 0\nserver_keep_alive_seconds = 45\n[log]\nformat = \"json\"\nlevel = \"warn\"";
    let config = Config::parse(text, "t").unwrap();
    assert_eq!(config.shards.get(), 2);
    assert_eq!(config.limits.queue_bytes, 32 << 20);
    assert_eq!(config.timing.ping_interval, None);
    assert_eq!(
        config.timing.server_keep_alive_seconds.map(u16::from),
        Some(45)
    );
    assert_eq!(
        (config.log.format, config.log.level),
        (LogFormat::Json, LogLevel::Warn)
    );
}

#[test]
fn every_listener_has_its_own_settings() {
    let text = "[[listener]]\nbind = \"[::1]:1\"\npaths = [\"/x\"]\n[[listener]]\nallow_missing_subprotocol = true";
    let [one, two] = &Config::parse(text, "t").unwrap().listeners[..] else {
        panic!()
    };
    assert_eq!(
        (one.bind.to_string().as_str(), &one.paths[..]),
        ("[::1]:1", &["/x".to_owned()][..])
    );
    assert_eq!(two.paths[..], ["/", "/mqtt"]);
    assert!(two.allow_missing_subprotocol && !one.allow_missing_subprotocol);
}

#[test]
fn a_default_gives_way_to_a_written_limit() {
    let limits = |text: &str| Config::parse(text, "t").unwrap().limits;
    let small = limits("[limits]\nmax_packet_bytes = 4096");
    assert_eq!(
        (
            small.max_packet_bytes,
            small.max_unauthenticated_packet_bytes
        ),
        (4096, 4096)
    );
    let large = limits("[limits]\nmax_packet_bytes = 33554432\nmax_connections = 300000");
    assert_eq!((large.queue_bytes, large.max_sessions), (32 << 20, 300_000));
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_and_the_allowed() {
    check(
        "[[listener]]\nbnd = \"127.0.0.1:1\"",
        &[
            "2: listener.bnd: unknown key; did you mean `bind`? Allowed here: bind, socket_mode, protocol, certificate_file, key_file, client_certificate, client_ca_file, client_crl_file, client_username, trusted_proxies, proxy_protocol, paths, allow_missing_subprotocol, allowed_origins, refuse_after_upgrade, metrics, slow_reader",
        ],
    );
    check(
        "[store]\nusers = 3",
        &[
            "2: store.users: unknown key; Allowed here: path, durability, sync_interval_milliseconds",
        ],
    );
    check(
        "[limit]\nqueue_bytes = 1",
        &[
            "1: limit: unknown key; did you mean `limits`? Allowed here: shards, listener, limits, timing, tolerate, auth, store, log",
        ],
    );
}

#[test]
fn a_mistyped_key_is_not_missing_too() {
    let provider = "[[auth.provider]]\nkind = \"password-file\"\n";
    let problems = |text: &str| match Config::parse(text, "t") {
        Err(ConfigError::Invalid(problems)) => problems
            .iter()
            .map(|problem| format!("{}: {}", problem.line, problem.key))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        problems(&format!("{provider}fle = \"x\"\n{provider}")),
        ["3: auth.provider.fle", "4: auth.provider.file"]
    );
    assert_eq!(
        problems("[[listener]]\nprotocol = \"wss\"\ncertificate_fil = \"c\"\nkey_file = \"k\""),
        ["3: listener.certificate_fil"]
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_home() {
    check(
        "[log]\nshards = 2",
        &["2: log.shards: belongs to the top of the file; move it above the first [section]"],
    );
    check(
        "bind = \"127.0.0.1:1\"",
        &["1: bind: belongs to [[listener]]; move it below that heading"],
    );
    check(
        "[limits]\nclose_seconds = 1",
        &["2: limits.close_seconds: belongs to [timing]; move it below that heading"],
    );
}

#[test]
fn a_value_of_another_type_is_answered_with_what_to_write() {
    check(
        "shards = \"2\"",
        &["1: shards: is a string; write a whole number, 0 to 1024 shards"],
    );
    check(
        "shards = 2.5",
        &["1: shards: is a number with a fraction; write a whole number, 0 to 1024 shards"],
    );
    check(
        "[tolerate]\npong_as_keep_alive = \"yes\"",
        &["2: tolerate.pong_as_keep_alive: is a string; write true or false, without quotes"],
    );
    check(
        "[log]\nformat = true",
        &["2: log.format: is true or false; write \"text\" or \"json\""],
    );
    check(
        "[[listener]]\nbind = 8083",
        &["2: listener.bind: is a whole number; write a string, for example \"127.0.0.1:8083\""],
    );
    check(
        "[[listener]]\npaths = \"/mqtt\"",
        &[
            "2: listener.paths: is a string; write a list of strings, for example [\"/\", \"/mqtt\"]",
        ],
    );
}

#[test]
fn a_number_out_of_range_is_answered_with_range_and_unit() {
    check(
        "[limits]\n\nreceive_maximum = 0",
        &["3: limits.receive_maximum: 0 is out of range; write 1 to 65535 messages"],
    );
    check(
        "[timing]\nclose_seconds = -1",
        &["2: timing.close_seconds: -1 is out of range; write 1 to 60 seconds"],
    );
    check(
        "[limits]\nqueue_bytes = 99999999999999999999",
        &[
            "2: limits.queue_bytes: 99999999999999999999 is out of range; write 4096 to 68719476736 bytes",
        ],
    );
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    check(
        "[limits]\nmax_packet_bytes = 1024\nmax_unauthenticated_packet_bytes = 2048",
        &[
            "3: limits.max_unauthenticated_packet_bytes: 2048 is more than max_packet_bytes (1024); lower it or raise max_packet_bytes",
        ],
    );
    check(
        "[limits]\nmax_sessions = 10",
        &[
            "2: limits.max_sessions: 10 is less than max_connections (100000); raise it or lower max_connections",
        ],
    );
    check(
        "[limits]\nqueue_bytes = 8192",
        &[
            "2: limits.queue_bytes: 8192 is less than max_packet_bytes (1048576); raise it or lower max_packet_bytes",
        ],
    );
}

#[test]
fn a_word_that_is_not_known_is_answered_with_the_words() {
    check(
        "[log]\nformat = \"xml\"",
        &["2: log.format: \"xml\" is not known; write \"text\" or \"json\""],
    );
    check(
        "[store]\ndurability = \"maybe\"",
        &[
            "2: store.durability: \"maybe\" is not known; write \"sync\" or \"interval\" or \"memory\"",
        ],
    );
}

#[test]
fn a_bad_address_is_answered_with_a_good_one() {
    let bind = |address: &str, expected: &str| {
        check(
            &format!("[[listener]]\nbind = \"{address}\""),
            &[&format!("2: listener.bind: {expected}")],
        );
    };
    bind(
        "127.0.0.1",
        r#""127.0.0.1" has no port; write for example "127.0.0.1:8083""#,
    );
    bind(
        "::1",
        r#""::1" has no port; write for example "[::1]:8083""#,
    );
    bind(
        "[::1]",
        r#""[::1]" has no port; write for example "[::1]:8083""#,
    );
    bind(
        "127.0.0.1:65536",
        r#""127.0.0.1:65536" has "65536" for a port; write a number from 0 to 65535, for example "127.0.0.1:8083""#,
    );
    bind(
        "[::1]:",
        r#""[::1]:" has "" for a port; write a number from 0 to 65535, for example "127.0.0.1:8083""#,
    );
    let all = r#"write for example "127.0.0.1:8083", or "0.0.0.0:8083" for all interfaces"#;
    bind(
        "localhost:8083",
        &format!(r#""localhost:8083" names "localhost", which is not an IP address; {all}"#),
    );
    bind(":8083", &format!(r#"":8083" has no IP address; {all}"#));
    bind("", &format!(r#""" has no IP address; {all}"#));
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    let two = |one: &str, two: &str, expected: &[&str]| {
        check(
            &format!("[[listener]]\nbind = \"{one}\"\n[[listener]]\nbind = \"{two}\""),
            expected,
        );
    };
    two(
        "127.0.0.1:1",
        "127.0.0.1:1",
        &[
            "4: listener.bind: 127.0.0.1:1 is taken by the listener on line 2; give one of them another port",
        ],
    );
    two(
        "0.0.0.0:1",
        "127.0.0.1:1",
        &[
            "4: listener.bind: 127.0.0.1:1 is covered by 0.0.0.0:1 on line 2; give one of them another port",
        ],
    );
    two(
        "127.0.0.1:1",
        "0.0.0.0:1",
        &[
            "4: listener.bind: 0.0.0.0:1 covers 127.0.0.1:1 on line 2; give one of them another port",
        ],
    );
    two("127.0.0.1:0", "127.0.0.1:0", &[]);
    two("127.0.0.1:1", "127.0.0.2:1", &[]);
    two("127.0.0.1:1", "[::1]:1", &[]);
    check(
        "[[listener]]\n[[listener]]",
        &[
            "2: listener.bind: 127.0.0.1:8083 is taken by the listener on line 1; give one of them another port",
        ],
    );
}

#[test]
fn paths_are_such_as_a_browser_can_ask_for() {
    let wrong = |path: &str| {
        let expected = format!(
            "2: listener.paths: {path:?} is not a path; write for example \"/mqtt\": a slash first, no spaces, '?' or '#'"
        );
        check(&format!("[[listener]]\npaths = [{path:?}]"), &[&expected]);
    };
    ["mqtt", "", "/a b", "/a?b", "/#", "/ä"]
        .into_iter()
        .for_each(wrong);
    check(
        "[[listener]]\npaths = [\n  \"/a\",\n  7,\n  \"/a\",\n]",
        &[
            "4: listener.paths: is a whole number; write a list of strings, for example [\"/\", \"/mqtt\"]",
            "5: listener.paths: \"/a\" is listed twice; remove one",
        ],
    );
    check(
        "[[listener]]\npaths = []",
        &[
            "2: listener.paths: the list is empty; write for example [\"/\", \"/mqtt\"], or remove the key for the default",
        ],
    );
}

#[test]
fn a_section_written_otherwise_is_answered_with_its_heading() {
    check(
        "limits = 3",
        &["1: limits: is a section; write [limits] on a line of its own and its keys below"],
    );
    check(
        "[[log]]",
        &["1: log: is a section; write [log] on a line of its own and its keys below"],
    );
    let listener =
        "1: listener: is a section; write [[listener]] on a line of its own and its keys below";
    check("[listener]\nbind = \"127.0.0.1:1\"", &[listener]);
    check("listener = []", &[listener]);
    check("listener = [1]", &[listener]);
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_lines() {
    check(
        "shards = 1\nshards = 2",
        &["2: not TOML: duplicate key; keep one of them"],
    );
    check(
        "[limits\n[log]\nlevel = info",
        &[
            "1: not TOML: unclosed table, expected `]`",
            "3: not TOML: string values must be quoted",
        ],
    );
}

#[test]
fn one_problem_does_not_hide_another() {
    check(
        "shards = -1\n[log]\nlevel = \"loud\"\nfile = \"x\"\n[timing]\nclose_seconds = 0",
        &[
            "1: shards: -1 is out of range; write 0 to 1024 shards",
            "3: log.level: \"loud\" is not known; write \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"",
            "4: log.file: unknown key; Allowed here: format, level",
            "6: timing.close_seconds: 0 is out of range; write 1 to 60 seconds",
        ],
    );
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_utf_8_is_said_to_be_so() {
    let missing = Config::load(Path::new("no/such/broker.toml")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no/such/broker.toml: cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(missing.exit_code(), 1);
    let garbled = Config::decode(b"shards = 1\n# \xff".to_vec(), "broker.toml").unwrap_err();
    assert_eq!(
        garbled.to_string(),
        "broker.toml:2: not UTF-8; save the file in this encoding"
    );
    assert_eq!(garbled.exit_code(), 2);
}

#[test]
fn an_open_door_is_noticed() {
    let notices = |text: &str| Config::parse(text, "t").unwrap().notices();
    assert_eq!(notices(""), Vec::<String>::new());
    let everywhere = "[[listener]]\nbind = \"0.0.0.0:1\"";
    assert!(notices(everywhere)[0].starts_with("listener 0.0.0.0:1 lets in nobody: add an"));
    let open = format!("{everywhere}\n[auth]\nanonymous = \"everywhere\"");
    assert!(notices(&open)[0].ends_with("whoever reaches it may publish and subscribe"));
    let closed = "[auth]\nanonymous = \"nowhere\"";
    assert!(notices(closed)[0].starts_with("listener 127.0.0.1:8083 lets in nobody"));
}

#[test]
fn a_listener_with_tls_needs_its_files_and_one_without_has_none() {
    check(
        "[[listener]]\nprotocol = \"wss\"\ncertificate_file = \"c.pem\"",
        &[
            "1: listener.key_file: is needed; write the path of a file in PEM, for example \"/etc/letsencrypt/live/mqtt.example.org/privkey.pem\"",
        ],
    );
    check(
        "[[listener]]\nprotocol = \"mqtt\"\nkey_file = \"k.pem\"",
        &[
            "3: listener.key_file: has no effect with protocol \"mqtt\"; write \"mqtts\" there or remove this key",
        ],
    );
    let files = "[[listener]]\nprotocol = \"mqtts\"\ncertificate_file = \"c\"\nkey_file = \"k\"\n";
    check(
        &format!("{files}client_certificate = \"required\""),
        &[
            "1: listener.client_ca_file: is needed; write the path of a file in PEM, for example \"/etc/weir/clients-ca.pem\"",
        ],
    );
    check(
        &format!("{files}client_crl_file = \"r\""),
        &[
            "5: listener.client_crl_file: has no effect with client_certificate = \"none\"; write \"optional\" or \"required\" there or remove this key",
        ],
    );
    check(files, &[]);
}

#[test]
fn a_unix_socket_has_an_absolute_path_and_a_mode() {
    let listener = |line: &str| format!("[[listener]]\n{line}");
    let config = Config::parse(
        &listener("bind = \"unix:/run/w.sock\"\nsocket_mode = \"0600\""),
        "t",
    )
    .unwrap();
    assert_eq!(config.listeners[0].bind, Bind::Unix("/run/w.sock".into()));
    assert_eq!(config.listeners[0].socket_mode, 0o600);
    assert_eq!(config.notices(), Vec::<String>::new());
    check(
        &listener("bind = \"unix:w.sock\""),
        &[
            "2: listener.bind: \"unix:w.sock\" has no absolute path; write for example \"unix:/run/weir/ws.sock\"",
        ],
    );
    check(
        &listener("socket_mode = \"rw\""),
        &["2: listener.socket_mode: \"rw\" is not an octal mode; write for example \"0660\""],
    );
    check(
        "[[listener]]\nbind = \"unix:/w\"\n[[listener]]\nbind = \"unix:/w\"",
        &[
            "4: listener.bind: unix:/w is taken by the listener on line 2; give one of them another path",
        ],
    );
}

#[test]
fn origins_are_written_as_a_browser_sends_them() {
    check(
        "[[listener]]\nallowed_origins = [\"same-host\", \"https://a.example/\"]",
        &[
            "2: listener.allowed_origins: \"https://a.example/\" has something behind the host, which no origin has; write for example \"https://app.example\", \"http://localhost:5173\", or \"same-host\"",
        ],
    );
    check("[[listener]]\nallowed_origins = [\"*\", \"null\"]", &[]);
    check("[[listener]]\nallowed_origins = []", &[]);
}

#[test]
fn a_proxy_header_is_believed_of_named_proxies_only() {
    check(
        "[[listener]]\nproxy_protocol = true",
        &[
            "2: listener.proxy_protocol: needs the proxy's address in trusted_proxies, for example [\"127.0.0.1\"]",
        ],
    );
    check(
        "[[listener]]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\", \"unix\", \"proxy\"]",
        &[
            "2: listener.trusted_proxies: \"proxy\" is neither an IP address nor a network; write for example \"127.0.0.1\", \"10.0.0.0/8\", or \"unix\" for whoever may open the unix socket",
        ],
    );
    let text = "[[listener]]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
    let trusted = Config::parse(text, "t").unwrap().listeners[0]
        .trusted_proxies
        .clone();
    let contain = |address: &str| trusted.contain(Some(address.parse().unwrap()));
    assert!(contain("10.9.8.7") && contain("::ffff:10.0.0.1") && contain("::1"));
    assert!(!contain("11.0.0.1") && !trusted.contain(None));
}

//! The examples of RFC 7541 Appendix C.

use super::super::huffman;
use super::super::integer::{self, Reader};
use super::{Pairs, hex, pair, read};
use crate::hpack::Decoder;

#[test]
fn numbers_are_those_of_c_1() {
    for (first, mask, number, text) in
        [(0xe0, 0x1f, 10, "ea"), (0x00, 0x1f, 1337, "1f9a0a"), (0, 0xff, 42, "2a")]
    {
        let mut out = Vec::new();
        integer::write(first, mask, number, &mut out);
        assert_eq!(out, hex(text));
        let mut reader = Reader::new(&out);
        let first = reader.byte().unwrap();
        assert_eq!(reader.number(first, mask), Ok(number));
        assert_eq!(reader.peek(), None);
    }
}

#[test]
fn representations_are_those_of_c_2() {
    let cases = [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", pair("custom-key", "custom-header"), 55),
        ("040c2f73616d706c652f70617468", pair(":path", "/sample/path"), 0),
        ("100870617373776f726406736563726574", pair("password", "secret"), 0),
        ("82", pair(":method", "GET"), 0),
    ];
    for (block, field, size) in cases {
        let mut decoder = Decoder::new(4096);
        assert_eq!(read(&mut decoder, &hex(block)), Ok(vec![field]), "{block}");
        assert_eq!(decoder.table().size(), size, "{block}");
    }
}

/// What is in the table, from the newest.
fn entries(decoder: &Decoder) -> Pairs {
    (0..decoder.table().len())
        .map(|index| decoder.table().get(index).map(|(name, value)| (name.to_vec(), value.to_vec())).unwrap())
        .collect()
}

struct Step {
    blocks: [&'static str; 2],
    fields: Pairs,
    table: Pairs,
    size: usize,
}

fn run(max_table: &str, steps: &[Step]) {
    for coded in [0, 1] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(read(&mut decoder, &hex(max_table)), Ok(Pairs::new()));
        for step in steps {
            assert_eq!(read(&mut decoder, &hex(step.blocks[coded])).as_ref(), Ok(&step.fields));
            assert_eq!(entries(&decoder), step.table);
            assert_eq!(decoder.table().size(), step.size);
        }
    }
}

#[test]
fn requests_are_those_of_c_3_and_c_4() {
    let authority = pair(":authority", "www.example.com");
    let no_cache = pair("cache-control", "no-cache");
    let custom = pair("custom-key", "custom-value");
    let head = |scheme, path| vec![pair(":method", "GET"), pair(":scheme", scheme), pair(":path", path)];
    run(
        "",
        &[
            Step {
                blocks: ["828684410f7777772e6578616d706c652e636f6d", "828684418cf1e3c2e5f23a6ba0ab90f4ff"],
                fields: [head("http", "/"), vec![authority.clone()]].concat(),
                table: vec![authority.clone()],
                size: 57,
            },
            Step {
                blocks: ["828684be58086e6f2d6361636865", "828684be5886a8eb10649cbf"],
                fields: [head("http", "/"), vec![authority.clone(), no_cache.clone()]].concat(),
                table: vec![no_cache.clone(), authority.clone()],
                size: 110,
            },
            Step {
                blocks: [
                    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
                    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
                ],
                fields: [head("https", "/index.html"), vec![authority.clone(), custom.clone()]].concat(),
                table: vec![custom, no_cache, authority],
                size: 164,
            },
        ],
    );
}

#[test]
fn responses_are_those_of_c_5_and_c_6_with_eviction() {
    let private = pair("cache-control", "private");
    let date = pair("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = pair("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let location = pair("location", "https://www.example.com");
    let moved = pair(":status", "302");
    let kept = pair(":status", "307");
    let gzip = pair("content-encoding", "gzip");
    let cookie = pair("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    run(
        "3fe101",
        &[
            Step {
                blocks: [
                    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
                ],
                fields: vec![moved.clone(), private.clone(), date.clone(), location.clone()],
                table: vec![location.clone(), date.clone(), private.clone(), moved],
                size: 222,
            },
            Step {
                blocks: ["4803333037c1c0bf", "4883640effc1c0bf"],
                fields: vec![kept.clone(), private.clone(), date.clone(), location.clone()],
                table: vec![kept, location.clone(), date, private.clone()],
                size: 222,
            },
            Step {
                blocks: [
                    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
                    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                ],
                fields: vec![
                    pair(":status", "200"),
                    private,
                    later.clone(),
                    location,
                    gzip.clone(),
                    cookie.clone(),
                ],
                table: vec![cookie, gzip, later],
                size: 215,
            },
        ],
    );
}

#[test]
fn compressed_texts_are_those_of_c_4_and_c_6_both_ways() {
    for (text, coded) in [
        ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        ("no-cache", "a8eb10649cbf"),
        ("custom-key", "25a849e95ba97d7f"),
        ("custom-value", "25a849e95bb8e8b4bf"),
        ("302", "6402"),
        ("private", "aec3771a4b"),
        ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
        ("", ""),
    ] {
        assert_eq!(huffman::fold(text.as_bytes()), hex(coded), "{text}");
        let mut out = b"before".to_vec();
        let end = huffman::unfold(&hex(coded), &mut out, 6).unwrap();
        assert_eq!(out[..end], [b"before", text.as_bytes()].concat(), "{text}");
    }
}

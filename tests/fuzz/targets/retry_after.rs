#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::properties::retry_after_header(data));

//! What the catalogue offers as a whole.

use super::catalogue;

#[test]
fn the_share_of_providers_that_can_be_revoked_is_at_least_sixty_percent() {
    let all = catalogue();
    let can = all.iter().filter(|entry| entry.template.revoke.is_some());
    let (can, all) = (can.count(), all.len());
    println!(
        "{can} of {all} providers can be revoked: {} %",
        can * 100 / all
    );
    assert!(can * 100 >= all * 60);
    assert!(all >= 120);
}

//! Tests that every registry has to pass: each case runs on SQLite and on PostgreSQL.

mod enrol;
mod manage;
mod older;
mod race;
mod renew;
mod world;

pub(crate) use world::{opened, prepared};

/// One test for each case and database.
macro_rules! conformance {
    ($($module:ident: $($case:ident),+;)+) => {
        mod sqlite {
            $($(
                #[test]
                fn $case() {
                    super::$module::$case(&super::world::World::sqlite());
                }
            )+)+
        }
        mod postgres {
            $($(
                #[test]
                fn $case() {
                    super::$module::$case(&super::world::World::postgres());
                }
            )+)+
        }
    };
}

conformance! {
    enrol:
        a_first_proof_is_noted_with_its_certificate,
        without_a_token_a_stranger_leaves_no_trace,
        a_token_is_good_once_and_until_it_expires,
        a_machine_that_comes_again_uses_its_token_once,
        a_device_has_one_name_in_a_role,
        a_name_belongs_to_one_key_and_a_refusal_uses_no_token,
        the_same_answer_gets_the_same_certificate_and_another_one_none,
        what_cannot_be_signed_is_not_noted,
        another_key_waits_and_replaces_the_first_with_its_names,
        a_key_that_was_replaced_comes_back_by_approval_alone,
        the_first_key_may_have_to_wait,
        an_attestation_key_belongs_to_one_device,
        the_newest_proof_counts,
        an_identity_gives_a_role_and_an_old_key_its_place,
        a_token_with_several_uses_lets_in_as_many_and_can_be_withdrawn;
    renew:
        a_renewal_is_noted_and_moves_the_time,
        v14_time_does_not_go_back,
        v14_holds_for_all_keys_with_one_attestation_key,
        a_nonce_counts_once,
        an_answer_that_was_given_is_not_given_to_a_revoked_key,
        a_key_that_is_not_active_gets_nothing,
        a_new_name_is_taken_unless_another_key_has_it,
        what_cannot_be_signed_leaves_the_time_and_the_nonce,
        a_nonce_is_forgotten_after_it_has_expired;
    manage:
        a_revoked_device_does_not_come_back,
        a_key_with_two_endorsement_keys_is_revoked_with_either,
        an_import_is_whole_or_nothing,
        what_was_imported_needs_no_token,
        the_list_shows_roles_waiting_keys_and_validity,
        the_authoritys_keys_keep_their_numbers,
        the_authoritys_keys_are_published_and_retired,
        one_key_stays_when_two_are_retired_at_once,
        a_restored_registry_revokes_keys_that_it_does_not_know,
        the_list_of_revoked_keys_is_the_same_at_all_nodes,
        hostile_text_is_text;
    race:
        one_token_lets_in_one_of_fifty,
        one_name_goes_to_one_of_fifty,
        one_device_gets_one_of_fifty_keys,
        one_nonce_is_answered_once_by_fifty,
        one_answer_that_comes_fifty_times_has_one_certificate,
        fifty_renewals_of_one_key_only_move_forward,
        nothing_is_issued_after_a_revocation,
        fifty_who_ask_for_the_list_get_one;
}

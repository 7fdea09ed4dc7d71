-- The rights of the role that nodes have in PostgreSQL: they can add and change what they have to, and can delete neither certificates nor
-- revocations. tpmssh-ca database prepare --role NAME runs it; so can the owner of the tables:
--
--     psql -v role=NAME -f role.sql DATABASE

GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"role";
GRANT INSERT ON device, assignment, binding, principal, ca_key, issued, used_nonce, join_token, revocation, revoked_print TO :"role";
GRANT UPDATE ON meta, device, assignment, binding, principal, join_token TO :"role";
GRANT UPDATE (state, custody, node) ON ca_key TO :"role";
GRANT DELETE ON principal, used_nonce TO :"role";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"role";
GRANT EXECUTE ON FUNCTION make_partition TO :"role";

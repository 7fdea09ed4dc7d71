-- The rights of the nodes' role in PostgreSQL. Nodes can add and change what they need, but cannot delete certificates or revocations.
-- tpmssh-ca database prepare --role NAME runs this file. The owner of the tables can run it as well:
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

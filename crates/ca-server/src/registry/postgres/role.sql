-- The role that the nodes of an authority have in PostgreSQL: it can add and change what it has to, and can delete neither certificates nor
-- revocations. Run it as the owner of the tables, again after each update of tpmssh-ca:
--
--     psql -v role=tpmssh_ca -f role.sql DATABASE

GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :"role";
GRANT INSERT ON device, assignment, binding, principal, ca_key, issued, used_nonce, join_token, revocation TO :"role";
GRANT UPDATE ON meta, device, assignment, binding, principal, join_token TO :"role";
GRANT DELETE ON principal, used_nonce TO :"role";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"role";
GRANT EXECUTE ON FUNCTION make_partition TO :"role";

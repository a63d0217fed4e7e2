"""The least transaction of every type that xrpl-py has a model for, made from the model's own list of what it needs."""

import dataclasses
from typing import Any, Final

from xrpl.core.addresscodec import decode_classic_address
from xrpl.models import (
    XRP,
    IssuedCurrency,
    IssuedCurrencyAmount,
    MPTAmount,
    Payment,
    SignerEntry,
    Transaction,
    XChainBridge,
)
from xrpl.models.required import REQUIRED
from xrpl.models.transactions.delegate_set import Permission
from xrpl.models.transactions.deposit_preauth import Credential
from xrpl.models.transactions.oracle_set import PriceData
from xrpl.models.transactions.types import TransactionType

from tests.support.wallets import ALICE, BOB, CAROL, SHOP

Json = dict[str, Any]

TYPES: Final = [each.value for each in TransactionType]
_HASH: Final = "AB" * 32
_ENCRYPTED: Final = "AB" * 66
_COMMITMENT: Final = "AB" * 33
_TOKEN: Final = "00000005" + "12" * 20
_USD: Final = IssuedCurrency(currency="USD", issuer=SHOP)
_OWN: Final = IssuedCurrency(currency="USD", issuer=ALICE.address)
_DOLLARS: Final = IssuedCurrencyAmount(currency="USD", issuer=SHOP, value="1.5")
_BRIDGE: Final = XChainBridge(
    locking_chain_door=ALICE.address, locking_chain_issue=XRP(), issuing_chain_door=SHOP, issuing_chain_issue=XRP()
)
_FIELDS: Final[Json] = {
    "accepted_credentials": [Credential(issuer=SHOP, credential_type="AB")],
    "amount": "1000000",
    "amount2": _DOLLARS,
    "amount_commitment": _COMMITMENT,
    "asset": _USD,
    "asset2": XRP(),
    "attestation_reward_account": SHOP,
    "attestation_signer_account": SHOP,
    "authorize": SHOP,
    "balance_commitment": _COMMITMENT,
    "blinding_factor": _HASH,
    "channel": _HASH,
    "check_id": _HASH,
    "credential_type": "AB",
    "destination": SHOP,
    "destination_encrypted_amount": _ENCRYPTED,
    "domain_id": _HASH,
    "holder": BOB.address,
    "holder_encrypted_amount": _ENCRYPTED,
    "issuer": SHOP,
    "issuer_encrypted_amount": _ENCRYPTED,
    "last_update_time": 1_700_000_000,
    "limit_amount": _DOLLARS,
    "loan_broker_id": _HASH,
    "loan_id": _HASH,
    "mpt_amount": 100,
    "mptoken_issuance_id": _TOKEN,
    "nftoken_id": _HASH,
    "nftoken_offers": [_HASH],
    "nftoken_taxon": 0,
    "offer_sequence": 7,
    "oracle_document_id": 1,
    "other_chain_source": SHOP,
    "owner": SHOP,
    "permissions": [Permission(permission_value="Payment"), Permission(permission_value="TrustlineFreeze")],
    "price_data_series": [PriceData(base_asset="XRP", quote_asset="USD", asset_price=740, scale=1)],
    "principal_requested": "100",
    "public_key": BOB.public_key,
    "raw_transactions": [
        Payment(
            account=account, amount="1", destination=SHOP, sequence=6, fee="0", signing_pub_key="", flags=0x40000000
        )
        for account in (ALICE.address, CAROL.address)
    ],
    "send_max": "5",
    "sender_encrypted_amount": _ENCRYPTED,
    "settle_delay": 60,
    "signature": "AB" * 64,
    "signature_reward": "100",
    "signer_quorum": 1,
    "subject": SHOP,
    "taker_gets": "1",
    "taker_pays": _DOLLARS,
    "ticket_count": 1,
    "trading_fee": 5,
    "vault_id": _HASH,
    "was_locking_chain_send": 1,
    "xchain_account_create_count": 1,
    "xchain_bridge": _BRIDGE,
    "xchain_claim_id": 1,
    "zk_proof": "AB",
}
"""What a field may have, by its name in the models."""
_CHOICES: Final[dict[str, Json]] = {
    "AMMClawback": {"asset": _OWN},
    "AMMDeposit": {"amount": "1", "flags": 0x00080000},
    "CheckCash": {"amount": "1"},
    "Clawback": {"amount": _DOLLARS},
    "ConfidentialMPTClawback": {"zk_proof": "AB" * 64},
    "ConfidentialMPTConvertBack": {"zk_proof": "AB" * 816},
    "ConfidentialMPTSend": {"zk_proof": "AB" * 946},
    "CredentialDelete": {"issuer": SHOP},
    "DIDSet": {"uri": "AB"},
    "DepositPreauth": {"authorize": SHOP},
    "LoanBrokerCoverClawback": {"loan_broker_id": _HASH},
    "MPTokenIssuanceCreate": {"maximum_amount": "100"},
    "NFTokenAcceptOffer": {"nftoken_sell_offer": _HASH},
    "NFTokenCreateOffer": {"owner": SHOP},
    "NFTokenModify": {"uri": "AB"},
    "Payment": {"amount": MPTAmount(mpt_issuance_id=_TOKEN, value="100")},
    "SignerListSet": {"signer_entries": [SignerEntry(account=SHOP, signer_weight=1)]},
    "SponsorshipSet": {"sponsee": SHOP, "max_fee": "5"},
    "SponsorshipTransfer": {"flags": 0x00010000},
    "XChainModifyBridge": {"signature_reward": "100"},
}
"""Where a model wants one of several fields, or one that fits another."""


def least_of(tx_type: str, **changes: Any) -> Json:
    """A valid transaction of Alice's with what its type needs."""
    model = Transaction.get_transaction_type(tx_type)
    needed = {
        field.name: _FIELDS[field.name]
        for field in dataclasses.fields(model)
        if field.default is REQUIRED and field.name not in {"account", "transaction_type"}
    }
    values = needed | _CHOICES.get(tx_type, {})
    if tx_type == "ConfidentialMPTClawback":
        values["mptoken_issuance_id"] = _TOKEN[:8] + decode_classic_address(ALICE.address).hex()
    return model(account=ALICE.address, fee="12", sequence=5, **values).to_xrpl() | changes

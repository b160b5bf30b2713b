from superagent.foundation import sealing


def test_what_is_sealed_is_told_to_none_but_the_same_installation(settings):
    sealed = sealing.seal("sa_test_secret")
    assert b"secret" not in sealed
    assert sealing.unseal(sealed) == "sa_test_secret"
    settings.SECRET_KEY = "another secret key, of fifty characters and even more"
    assert sealing.unseal(sealed) is None

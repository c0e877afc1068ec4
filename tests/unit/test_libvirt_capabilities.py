from services.hypervisors.libvirt.capabilities import cpu_models_in, machines_in

CAPABILITIES = """<capabilities><host><uuid>1</uuid></host>
<guest><os_type>hvm</os_type><arch name='x86_64'><wordsize>64</wordsize>
  <machine maxCpus='255'>pc-i440fx-7.2</machine><machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>
  <domain type='kvm'><machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine></domain></arch></guest>
<guest><os_type>xen</os_type><arch name='i686'><wordsize>32</wordsize></arch></guest></capabilities>"""
DOMAIN_CAPABILITIES = """<domainCapabilities><cpu><mode name='host-passthrough' supported='yes'/>
<mode name='custom' supported='yes'><model usable='yes'>qemu64</model><model usable='no' vendor='AMD'>EPYC</model>
<model usable='unknown'>Haswell</model></mode></cpu></domainCapabilities>"""


def test_machines_are_named_by_architecture_with_their_aliases():
    assert machines_in(CAPABILITIES) == {"x86_64": ("pc", "pc-i440fx-7.2", "pc-q35-7.2", "q35")}


def test_cpu_models_are_those_that_are_not_known_to_be_unusable():
    assert cpu_models_in(DOMAIN_CAPABILITIES) == ("Haswell", "qemu64")


def test_cpu_models_are_unknown_when_nothing_is_said():
    assert cpu_models_in("<domainCapabilities/>") is None

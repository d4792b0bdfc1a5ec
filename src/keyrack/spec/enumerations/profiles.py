"""The profile names that a server may claim in Query (KMIP 1.4, 9.1.3.2.42)."""

# ruff: noqa: E501 - one row a line, as the table of the standard has it

from keyrack.spec.versions import V1_3, V1_4
from keyrack.spec.word import Word


class ProfileName(Word):
    """Profile Name (KMIP 1.4, 9.1.3.2.42)."""

    BASELINE_SERVER_BASIC_KMIP_V1_2 = 0x01, "Baseline Server Basic KMIP v1.2", V1_3
    BASELINE_SERVER_TLS_V1_2_KMIP_V1_2 = 0x02, "Baseline Server TLS v1.2 KMIP v1.2", V1_3
    BASELINE_CLIENT_BASIC_KMIP_V1_2 = 0x03, "Baseline Client Basic KMIP v1.2", V1_3
    BASELINE_CLIENT_TLS_V1_2_KMIP_V1_2 = 0x04, "Baseline Client TLS v1.2 KMIP v1.2", V1_3
    COMPLETE_SERVER_BASIC_KMIP_V1_2 = 0x05, "Complete Server Basic KMIP v1.2", V1_3
    COMPLETE_SERVER_TLS_V1_2_KMIP_V1_2 = 0x06, "Complete Server TLS v1.2 KMIP v1.2", V1_3
    TAPE_LIBRARY_CLIENT_KMIP_V1_0 = 0x07, "Tape Library Client KMIP v1.0", V1_3
    TAPE_LIBRARY_CLIENT_KMIP_V1_1 = 0x08, "Tape Library Client KMIP v1.1", V1_3
    TAPE_LIBRARY_CLIENT_KMIP_V1_2 = 0x09, "Tape Library Client KMIP v1.2", V1_3
    TAPE_LIBRARY_SERVER_KMIP_V1_0 = 0x0A, "Tape Library Server KMIP v1.0", V1_3
    TAPE_LIBRARY_SERVER_KMIP_V1_1 = 0x0B, "Tape Library Server KMIP v1.1", V1_3
    TAPE_LIBRARY_SERVER_KMIP_V1_2 = 0x0C, "Tape Library Server KMIP v1.2", V1_3
    SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_0 = 0x0D, "Symmetric Key Lifecycle Client KMIP v1.0", V1_3
    SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_1 = 0x0E, "Symmetric Key Lifecycle Client KMIP v1.1", V1_3
    SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_2 = 0x0F, "Symmetric Key Lifecycle Client KMIP v1.2", V1_3
    SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_0 = 0x10, "Symmetric Key Lifecycle Server KMIP v1.0", V1_3
    SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_1 = 0x11, "Symmetric Key Lifecycle Server KMIP v1.1", V1_3
    SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_2 = 0x12, "Symmetric Key Lifecycle Server KMIP v1.2", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_0 = 0x13, "Asymmetric Key Lifecycle Client KMIP v1.0", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_1 = 0x14, "Asymmetric Key Lifecycle Client KMIP v1.1", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_2 = 0x15, "Asymmetric Key Lifecycle Client KMIP v1.2", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_0 = 0x16, "Asymmetric Key Lifecycle Server KMIP v1.0", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_1 = 0x17, "Asymmetric Key Lifecycle Server KMIP v1.1", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_2 = 0x18, "Asymmetric Key Lifecycle Server KMIP v1.2", V1_3
    BASIC_CRYPTOGRAPHIC_CLIENT_KMIP_V1_2 = 0x19, "Basic Cryptographic Client KMIP v1.2", V1_3
    BASIC_CRYPTOGRAPHIC_SERVER_KMIP_V1_2 = 0x1A, "Basic Cryptographic Server KMIP v1.2", V1_3
    ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIP_V1_2 = 0x1B, "Advanced Cryptographic Client KMIP v1.2", V1_3
    ADVANCED_CRYPTOGRAPHIC_SERVER_KMIP_V1_2 = 0x1C, "Advanced Cryptographic Server KMIP v1.2", V1_3
    RNG_CRYPTOGRAPHIC_CLIENT_KMIP_V1_2 = 0x1D, "RNG Cryptographic Client KMIP v1.2", V1_3
    RNG_CRYPTOGRAPHIC_SERVER_KMIP_V1_2 = 0x1E, "RNG Cryptographic Server KMIP v1.2", V1_3
    BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_0 = 0x1F, "Basic Symmetric Key Foundry Client KMIP v1.0", V1_3
    INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_0 = (
        0x20,
        "Intermediate Symmetric Key Foundry Client KMIP v1.0",
        V1_3,
    )
    ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_0 = 0x21, "Advanced Symmetric Key Foundry Client KMIP v1.0", V1_3
    BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_1 = 0x22, "Basic Symmetric Key Foundry Client KMIP v1.1", V1_3
    INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_1 = (
        0x23,
        "Intermediate Symmetric Key Foundry Client KMIP v1.1",
        V1_3,
    )
    ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_1 = 0x24, "Advanced Symmetric Key Foundry Client KMIP v1.1", V1_3
    BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_2 = 0x25, "Basic Symmetric Key Foundry Client KMIP v1.2", V1_3
    INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_2 = (
        0x26,
        "Intermediate Symmetric Key Foundry Client KMIP v1.2",
        V1_3,
    )
    ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_2 = 0x27, "Advanced Symmetric Key Foundry Client KMIP v1.2", V1_3
    SYMMETRIC_KEY_FOUNDRY_SERVER_KMIP_V1_0 = 0x28, "Symmetric Key Foundry Server KMIP v1.0", V1_3
    SYMMETRIC_KEY_FOUNDRY_SERVER_KMIP_V1_1 = 0x29, "Symmetric Key Foundry Server KMIP v1.1", V1_3
    SYMMETRIC_KEY_FOUNDRY_SERVER_KMIP_V1_2 = 0x2A, "Symmetric Key Foundry Server KMIP v1.2", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIP_V1_0 = 0x2B, "Opaque Managed Object Store Client KMIP v1.0", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIP_V1_1 = 0x2C, "Opaque Managed Object Store Client KMIP v1.1", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIP_V1_2 = 0x2D, "Opaque Managed Object Store Client KMIP v1.2", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIP_V1_0 = 0x2E, "Opaque Managed Object Store Server KMIP v1.0", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIP_V1_1 = 0x2F, "Opaque Managed Object Store Server KMIP v1.1", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIP_V1_2 = 0x30, "Opaque Managed Object Store Server KMIP v1.2", V1_3
    SUITE_B_MINLOS_128_CLIENT_KMIP_V1_0 = 0x31, "Suite B minLOS_128 Client KMIP v1.0", V1_3
    SUITE_B_MINLOS_128_CLIENT_KMIP_V1_1 = 0x32, "Suite B minLOS_128 Client KMIP v1.1", V1_3
    SUITE_B_MINLOS_128_CLIENT_KMIP_V1_2 = 0x33, "Suite B minLOS_128 Client KMIP v1.2", V1_3
    SUITE_B_MINLOS_128_SERVER_KMIP_V1_0 = 0x34, "Suite B minLOS_128 Server KMIP v1.0", V1_3
    SUITE_B_MINLOS_128_SERVER_KMIP_V1_1 = 0x35, "Suite B minLOS_128 Server KMIP v1.1", V1_3
    SUITE_B_MINLOS_128_SERVER_KMIP_V1_2 = 0x36, "Suite B minLOS_128 Server KMIP v1.2", V1_3
    SUITE_B_MINLOS_192_CLIENT_KMIP_V1_0 = 0x37, "Suite B minLOS_192 Client KMIP v1.0", V1_3
    SUITE_B_MINLOS_192_CLIENT_KMIP_V1_1 = 0x38, "Suite B minLOS_192 Client KMIP v1.1", V1_3
    SUITE_B_MINLOS_192_CLIENT_KMIP_V1_2 = 0x39, "Suite B minLOS_192 Client KMIP v1.2", V1_3
    SUITE_B_MINLOS_192_SERVER_KMIP_V1_0 = 0x3A, "Suite B minLOS_192 Server KMIP v1.0", V1_3
    SUITE_B_MINLOS_192_SERVER_KMIP_V1_1 = 0x3B, "Suite B minLOS_192 Server KMIP v1.1", V1_3
    SUITE_B_MINLOS_192_SERVER_KMIP_V1_2 = 0x3C, "Suite B minLOS_192 Server KMIP v1.2", V1_3
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIP_V1_0 = (
        0x3D,
        "Storage Array with Self Encrypting Drive Client KMIP v1.0",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIP_V1_1 = (
        0x3E,
        "Storage Array with Self Encrypting Drive Client KMIP v1.1",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIP_V1_2 = (
        0x3F,
        "Storage Array with Self Encrypting Drive Client KMIP v1.2",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIP_V1_0 = (
        0x40,
        "Storage Array with Self Encrypting Drive Server KMIP v1.0",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIP_V1_1 = (
        0x41,
        "Storage Array with Self Encrypting Drive Server KMIP v1.1",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIP_V1_2 = (
        0x42,
        "Storage Array with Self Encrypting Drive Server KMIP v1.2",
        V1_3,
    )
    HTTPS_CLIENT_KMIP_V1_0 = 0x43, "HTTPS Client KMIP v1.0", V1_3
    HTTPS_CLIENT_KMIP_V1_1 = 0x44, "HTTPS Client KMIP v1.1", V1_3
    HTTPS_CLIENT_KMIP_V1_2 = 0x45, "HTTPS Client KMIP v1.2", V1_3
    HTTPS_SERVER_KMIP_V1_0 = 0x46, "HTTPS Server KMIP v1.0", V1_3
    HTTPS_SERVER_KMIP_V1_1 = 0x47, "HTTPS Server KMIP v1.1", V1_3
    HTTPS_SERVER_KMIP_V1_2 = 0x48, "HTTPS Server KMIP v1.2", V1_3
    JSON_CLIENT_KMIP_V1_0 = 0x49, "JSON Client KMIP v1.0", V1_3
    JSON_CLIENT_KMIP_V1_1 = 0x4A, "JSON Client KMIP v1.1", V1_3
    JSON_CLIENT_KMIP_V1_2 = 0x4B, "JSON Client KMIP v1.2", V1_3
    JSON_SERVER_KMIP_V1_0 = 0x4C, "JSON Server KMIP v1.0", V1_3
    JSON_SERVER_KMIP_V1_1 = 0x4D, "JSON Server KMIP v1.1", V1_3
    JSON_SERVER_KMIP_V1_2 = 0x4E, "JSON Server KMIP v1.2", V1_3
    XML_CLIENT_KMIP_V1_0 = 0x4F, "XML Client KMIP v1.0", V1_3
    XML_CLIENT_KMIP_V1_1 = 0x50, "XML Client KMIP v1.1", V1_3
    XML_CLIENT_KMIP_V1_2 = 0x51, "XML Client KMIP v1.2", V1_3
    XML_SERVER_KMIP_V1_0 = 0x52, "XML Server KMIP v1.0", V1_3
    XML_SERVER_KMIP_V1_1 = 0x53, "XML Server KMIP v1.1", V1_3
    XML_SERVER_KMIP_V1_2 = 0x54, "XML Server KMIP v1.2", V1_3
    BASELINE_SERVER_BASIC_KMIP_V1_3 = 0x55, "Baseline Server Basic KMIP v1.3", V1_3
    BASELINE_SERVER_TLS_V1_2_KMIP_V1_3 = 0x56, "Baseline Server TLS v1.2 KMIP v1.3", V1_3
    BASELINE_CLIENT_BASIC_KMIP_V1_3 = 0x57, "Baseline Client Basic KMIP v1.3", V1_3
    BASELINE_CLIENT_TLS_V1_2_KMIP_V1_3 = 0x58, "Baseline Client TLS v1.2 KMIP v1.3", V1_3
    COMPLETE_SERVER_BASIC_KMIP_V1_3 = 0x59, "Complete Server Basic KMIP v1.3", V1_3
    COMPLETE_SERVER_TLS_V1_2_KMIP_V1_3 = 0x5A, "Complete Server TLS v1.2 KMIP v1.3", V1_3
    TAPE_LIBRARY_CLIENT_KMIP_V1_3 = 0x5B, "Tape Library Client KMIP v1.3", V1_3
    TAPE_LIBRARY_SERVER_KMIP_V1_3 = 0x5C, "Tape Library Server KMIP v1.3", V1_3
    SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_3 = 0x5D, "Symmetric Key Lifecycle Client KMIP v1.3", V1_3
    SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_3 = 0x5E, "Symmetric Key Lifecycle Server KMIP v1.3", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_3 = 0x5F, "Asymmetric Key Lifecycle Client KMIP v1.3", V1_3
    ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_3 = 0x60, "Asymmetric Key Lifecycle Server KMIP v1.3", V1_3
    BASIC_CRYPTOGRAPHIC_CLIENT_KMIP_V1_3 = 0x61, "Basic Cryptographic Client KMIP v1.3", V1_3
    BASIC_CRYPTOGRAPHIC_SERVER_KMIP_V1_3 = 0x62, "Basic Cryptographic Server KMIP v1.3", V1_3
    ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIP_V1_3 = 0x63, "Advanced Cryptographic Client KMIP v1.3", V1_3
    ADVANCED_CRYPTOGRAPHIC_SERVER_KMIP_V1_3 = 0x64, "Advanced Cryptographic Server KMIP v1.3", V1_3
    RNG_CRYPTOGRAPHIC_CLIENT_KMIP_V1_3 = 0x65, "RNG Cryptographic Client KMIP v1.3", V1_3
    RNG_CRYPTOGRAPHIC_SERVER_KMIP_V1_3 = 0x66, "RNG Cryptographic Server KMIP v1.3", V1_3
    BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_3 = 0x67, "Basic Symmetric Key Foundry Client KMIP v1.3", V1_3
    INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_3 = (
        0x68,
        "Intermediate Symmetric Key Foundry Client KMIP v1.3",
        V1_3,
    )
    ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_3 = 0x69, "Advanced Symmetric Key Foundry Client KMIP v1.3", V1_3
    SYMMETRIC_KEY_FOUNDRY_SERVER_KMIP_V1_3 = 0x6A, "Symmetric Key Foundry Server KMIP v1.3", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIP_V1_3 = 0x6B, "Opaque Managed Object Store Client KMIP v1.3", V1_3
    OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIP_V1_3 = 0x6C, "Opaque Managed Object Store Server KMIP v1.3", V1_3
    SUITE_B_MINLOS_128_CLIENT_KMIP_V1_3 = 0x6D, "Suite B minLOS_128 Client KMIP v1.3", V1_3
    SUITE_B_MINLOS_128_SERVER_KMIP_V1_3 = 0x6E, "Suite B minLOS_128 Server KMIP v1.3", V1_3
    SUITE_B_MINLOS_192_CLIENT_KMIP_V1_3 = 0x6F, "Suite B minLOS_192 Client KMIP v1.3", V1_3
    SUITE_B_MINLOS_192_SERVER_KMIP_V1_3 = 0x70, "Suite B minLOS_192 Server KMIP v1.3", V1_3
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIP_V1_3 = (
        0x71,
        "Storage Array with Self Encrypting Drive Client KMIP v1.3",
        V1_3,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIP_V1_3 = (
        0x72,
        "Storage Array with Self Encrypting Drive Server KMIP v1.3",
        V1_3,
    )
    HTTPS_CLIENT_KMIP_V1_3 = 0x73, "HTTPS Client KMIP v1.3", V1_3
    HTTPS_SERVER_KMIP_V1_3 = 0x74, "HTTPS Server KMIP v1.3", V1_3
    JSON_CLIENT_KMIP_V1_3 = 0x75, "JSON Client KMIP v1.3", V1_3
    JSON_SERVER_KMIP_V1_3 = 0x76, "JSON Server KMIP v1.3", V1_3
    XML_CLIENT_KMIP_V1_3 = 0x77, "XML Client KMIP v1.3", V1_3
    XML_SERVER_KMIP_V1_3 = 0x78, "XML Server KMIP v1.3", V1_3
    BASELINE_SERVER_BASIC_KMIP_V1_4 = 0x79, "Baseline Server Basic KMIP v1.4", V1_4
    BASELINE_SERVER_TLS_V1_2_KMIP_V1_4 = 0x7A, "Baseline Server TLS v1.2 KMIP v1.4", V1_4
    BASELINE_CLIENT_BASIC_KMIP_V1_4 = 0x7B, "Baseline Client Basic KMIP v1.4", V1_4
    BASELINE_CLIENT_TLS_V1_2_KMIP_V1_4 = 0x7C, "Baseline Client TLS v1.2 KMIP v1.4", V1_4
    COMPLETE_SERVER_BASIC_KMIP_V1_4 = 0x7D, "Complete Server Basic KMIP v1.4", V1_4
    COMPLETE_SERVER_TLS_V1_2_KMIP_V1_4 = 0x7E, "Complete Server TLS v1.2 KMIP v1.4", V1_4
    TAPE_LIBRARY_CLIENT_KMIP_V1_4 = 0x7F, "Tape Library Client KMIP v1.4", V1_4
    TAPE_LIBRARY_SERVER_KMIP_V1_4 = 0x80, "Tape Library Server KMIP v1.4", V1_4
    SYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_4 = 0x81, "Symmetric Key Lifecycle Client KMIP v1.4", V1_4
    SYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_4 = 0x82, "Symmetric Key Lifecycle Server KMIP v1.4", V1_4
    ASYMMETRIC_KEY_LIFECYCLE_CLIENT_KMIP_V1_4 = 0x83, "Asymmetric Key Lifecycle Client KMIP v1.4", V1_4
    ASYMMETRIC_KEY_LIFECYCLE_SERVER_KMIP_V1_4 = 0x84, "Asymmetric Key Lifecycle Server KMIP v1.4", V1_4
    BASIC_CRYPTOGRAPHIC_CLIENT_KMIP_V1_4 = 0x85, "Basic Cryptographic Client KMIP v1.4", V1_4
    BASIC_CRYPTOGRAPHIC_SERVER_KMIP_V1_4 = 0x86, "Basic Cryptographic Server KMIP v1.4", V1_4
    ADVANCED_CRYPTOGRAPHIC_CLIENT_KMIP_V1_4 = 0x87, "Advanced Cryptographic Client KMIP v1.4", V1_4
    ADVANCED_CRYPTOGRAPHIC_SERVER_KMIP_V1_4 = 0x88, "Advanced Cryptographic Server KMIP v1.4", V1_4
    RNG_CRYPTOGRAPHIC_CLIENT_KMIP_V1_4 = 0x89, "RNG Cryptographic Client KMIP v1.4", V1_4
    RNG_CRYPTOGRAPHIC_SERVER_KMIP_V1_4 = 0x8A, "RNG Cryptographic Server KMIP v1.4", V1_4
    BASIC_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_4 = 0x8B, "Basic Symmetric Key Foundry Client KMIP v1.4", V1_4
    INTERMEDIATE_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_4 = (
        0x8C,
        "Intermediate Symmetric Key Foundry Client KMIP v1.4",
        V1_4,
    )
    ADVANCED_SYMMETRIC_KEY_FOUNDRY_CLIENT_KMIP_V1_4 = 0x8D, "Advanced Symmetric Key Foundry Client KMIP v1.4", V1_4
    SYMMETRIC_KEY_FOUNDRY_SERVER_KMIP_V1_4 = 0x8E, "Symmetric Key Foundry Server KMIP v1.4", V1_4
    OPAQUE_MANAGED_OBJECT_STORE_CLIENT_KMIP_V1_4 = 0x8F, "Opaque Managed Object Store Client KMIP v1.4", V1_4
    OPAQUE_MANAGED_OBJECT_STORE_SERVER_KMIP_V1_4 = 0x90, "Opaque Managed Object Store Server KMIP v1.4", V1_4
    SUITE_B_MINLOS_128_CLIENT_KMIP_V1_4 = 0x91, "Suite B minLOS_128 Client KMIP v1.4", V1_4
    SUITE_B_MINLOS_128_SERVER_KMIP_V1_4 = 0x92, "Suite B minLOS_128 Server KMIP v1.4", V1_4
    SUITE_B_MINLOS_192_CLIENT_KMIP_V1_4 = 0x93, "Suite B minLOS_192 Client KMIP v1.4", V1_4
    SUITE_B_MINLOS_192_SERVER_KMIP_V1_4 = 0x94, "Suite B minLOS_192 Server KMIP v1.4", V1_4
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_CLIENT_KMIP_V1_4 = (
        0x95,
        "Storage Array with Self Encrypting Drive Client KMIP v1.4",
        V1_4,
    )
    STORAGE_ARRAY_WITH_SELF_ENCRYPTING_DRIVE_SERVER_KMIP_V1_4 = (
        0x96,
        "Storage Array with Self Encrypting Drive Server KMIP v1.4",
        V1_4,
    )
    HTTPS_CLIENT_KMIP_V1_4 = 0x97, "HTTPS Client KMIP v1.4", V1_4
    HTTPS_SERVER_KMIP_V1_4 = 0x98, "HTTPS Server KMIP v1.4", V1_4
    JSON_CLIENT_KMIP_V1_4 = 0x99, "JSON Client KMIP v1.4", V1_4
    JSON_SERVER_KMIP_V1_4 = 0x9A, "JSON Server KMIP v1.4", V1_4
    XML_CLIENT_KMIP_V1_4 = 0x9B, "XML Client KMIP v1.4", V1_4
    XML_SERVER_KMIP_V1_4 = 0x9C, "XML Server KMIP v1.4", V1_4

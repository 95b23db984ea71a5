// SPDX-License-Identifier: Apache-2.0
//
// The rows. Sources: protocol.md 1.1 to 1.5 (Kodo), 2.1 and 2.10 (QingStor), 3.8 (conditions), 5.1
// and 5.2 (the rest).

#include <array>

#include "providers/profiles.h"

namespace quayfs {
namespace {

using s3::AddressingStyle;
using s3::ListVersion;

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kGiB = 1ull << 30;
constexpr uint64_t kTiB = 1ull << 40;
constexpr uint64_t kNoLimit = 1ull << 62;

using Name = std::string_view;

// ---- Amazon.

constexpr std::array kAwsRegions = std::to_array<ProfileRegion>({
    {"us-east-1", "US East (N. Virginia)"},
    {"us-east-2", "US East (Ohio)"},
    {"us-west-1", "US West (N. California)"},
    {"us-west-2", "US West (Oregon)"},
    {"ca-central-1", "Canada (Central)"},
    {"ca-west-1", "Canada West (Calgary)"},
    {"eu-central-1", "Europe (Frankfurt)"},
    {"eu-central-2", "Europe (Zurich)"},
    {"eu-north-1", "Europe (Stockholm)"},
    {"eu-south-1", "Europe (Milan)"},
    {"eu-south-2", "Europe (Spain)"},
    {"eu-west-1", "Europe (Ireland)"},
    {"eu-west-2", "Europe (London)"},
    {"eu-west-3", "Europe (Paris)"},
    {"ap-east-1", "Asia Pacific (Hong Kong)"},
    {"ap-northeast-1", "Asia Pacific (Tokyo)"},
    {"ap-northeast-2", "Asia Pacific (Seoul)"},
    {"ap-northeast-3", "Asia Pacific (Osaka)"},
    {"ap-south-1", "Asia Pacific (Mumbai)"},
    {"ap-south-2", "Asia Pacific (Hyderabad)"},
    {"ap-southeast-1", "Asia Pacific (Singapore)"},
    {"ap-southeast-2", "Asia Pacific (Sydney)"},
    {"ap-southeast-3", "Asia Pacific (Jakarta)"},
    {"ap-southeast-4", "Asia Pacific (Melbourne)"},
    {"af-south-1", "Africa (Cape Town)"},
    {"il-central-1", "Israel (Tel Aviv)"},
    {"me-central-1", "Middle East (UAE)"},
    {"me-south-1", "Middle East (Bahrain)"},
    {"sa-east-1", "South America (Sao Paulo)"},
});
constexpr std::array kAwsClasses = std::to_array<ProfileStorageClass>({
    {"Standard", "STANDARD"},
    {"Reduced Redundancy", "REDUCED_REDUNDANCY"},
    {"Infrequent Access", "STANDARD_IA"},
    {"One Zone Infrequent Access", "ONEZONE_IA"},
    {"Intelligent Tiering", "INTELLIGENT_TIERING"},
    {"Glacier Instant Retrieval", "GLACIER_IR"},
    {"Glacier Flexible Retrieval", "GLACIER"},
    {"Glacier Deep Archive", "DEEP_ARCHIVE"},
    {"Express One Zone", "EXPRESS_ONEZONE"},
});
constexpr std::array kAwsAliases = std::to_array<Name>({"amazon", "amazon-s3"});
constexpr std::array kAwsHosts =
    std::to_array<Name>({"s3.amazonaws.com", "s3-{region}.amazonaws.com",
                         "s3.dualstack.{region}.amazonaws.com", "s3.{region}.amazonaws.com.cn"});

// ---- Qiniu.

constexpr std::array kKodoRegions = std::to_array<ProfileRegion>({
    {"cn-east-1", "East China-Zhejiang"},
    {"cn-east-2", "East China-Zhejiang 2"},
    {"cn-north-1", "North China-Hebei"},
    {"cn-south-1", "South China-Guangdong"},
    {"cn-northwest-1", "Northwest-Shaanxi"},
    {"us-north-1", "North America-Los Angeles"},
    {"ap-southeast-1", "Asia Pacific-Singapore"},
    {"ap-southeast-2", "Asia Pacific-Hanoi"},
    {"ap-southeast-3", "Asia Pacific-Ho Chi Minh"},
});
constexpr std::array kKodoClasses = std::to_array<ProfileStorageClass>({
    {"Standard", "STANDARD"},
    {"Infrequent Access", "LINE"},
    {"Archive", "GLACIER"},
    {"Archive (Direct Read)", "GLACIER_IR"},
    {"Deep Archive", "DEEP_ARCHIVE"},
    {"Intelligent Tiering", "INTELLIGENT_TIERING"},
});
constexpr std::array kKodoAliases = std::to_array<Name>({"qiniu"});
constexpr std::array kKodoHosts = std::to_array<Name>({"s3-{region}.qiniucs.com"});

// ---- QingStor.

constexpr std::array kQingStorZones = std::to_array<ProfileRegion>({
    {"pek3a", "Beijing 3-A"},
    {"pek3b", "Beijing 3-B"},
    {"sh1a", "Shanghai 1-A"},
    {"gd2", "Guangdong 2"},
    {"ap3", "Jakarta"},
});

constexpr std::array kQingStorClasses = std::to_array<ProfileStorageClass>(
    {{"Standard", "STANDARD"}, {"Infrequent Access", "STANDARD_IA"}});

// ---- Others.

constexpr std::array kOssAliases = std::to_array<Name>({"aliyun", "alibaba"});
constexpr std::array kOssHosts =
    std::to_array<Name>({"s3.oss-{region}.aliyuncs.com", "oss-{region}-internal.aliyuncs.com"});
constexpr std::array kOssRegions = std::to_array<ProfileRegion>({
    {"cn-hangzhou", "China (Hangzhou)"},
    {"cn-shanghai", "China (Shanghai)"},
    {"cn-beijing", "China (Beijing)"},
    {"cn-shenzhen", "China (Shenzhen)"},
    {"cn-hongkong", "China (Hong Kong)"},
    {"ap-southeast-1", "Singapore"},
    {"us-east-1", "US (Virginia)"},
    {"us-west-1", "US (Silicon Valley)"},
    {"eu-central-1", "Germany (Frankfurt)"},
});
constexpr std::array kOssClasses = std::to_array<ProfileStorageClass>({
    {"Standard", "STANDARD"},
    {"Infrequent Access", "STANDARD_IA"},
    {"Archive", "GLACIER"},
});
constexpr std::array kCosAliases = std::to_array<Name>({"tencent", "tencentcos"});
constexpr std::array kCosRegions = std::to_array<ProfileRegion>({
    {"ap-beijing", "Beijing"},
    {"ap-shanghai", "Shanghai"},
    {"ap-guangzhou", "Guangzhou"},
    {"ap-chengdu", "Chengdu"},
    {"ap-nanjing", "Nanjing"},
    {"ap-hongkong", "Hong Kong"},
    {"ap-singapore", "Singapore"},
    {"na-siliconvalley", "Silicon Valley"},
    {"eu-frankfurt", "Frankfurt"},
});
constexpr std::array kCosClasses = std::to_array<ProfileStorageClass>({
    {"Standard", "STANDARD"},
    {"Infrequent Access", "STANDARD_IA"},
    {"Archive", "ARCHIVE"},
});
constexpr std::array kObsAliases = std::to_array<Name>({"huawei", "huaweiobs"});
constexpr std::array kObsRegions = std::to_array<ProfileRegion>({
    {"cn-north-4", "CN North-Beijing4"},
    {"cn-east-3", "CN East-Shanghai1"},
    {"cn-south-1", "CN South-Guangzhou"},
    {"ap-southeast-1", "CN-Hong Kong"},
    {"ap-southeast-3", "AP-Singapore"},
});
constexpr std::array kR2Aliases = std::to_array<Name>({"cloudflare"});
constexpr std::array kR2Hosts =
    std::to_array<Name>({"*.r2.cloudflarestorage.com", "*.eu.r2.cloudflarestorage.com"});
constexpr std::array kB2Aliases = std::to_array<Name>({"backblaze"});
constexpr std::array kSpacesAliases = std::to_array<Name>({"spaces"});
constexpr std::array kScalewayRegions = std::to_array<ProfileRegion>(
    {{"fr-par", "Paris"}, {"nl-ams", "Amsterdam"}, {"pl-waw", "Warsaw"}});
constexpr std::array kScalewayClasses = std::to_array<ProfileStorageClass>(
    {{"Standard", "STANDARD"}, {"One Zone", "ONEZONE_IA"}, {"Glacier", "GLACIER"}});
constexpr std::array kOvhAliases = std::to_array<Name>({"ovhcloud"});
constexpr std::array kGcsAliases = std::to_array<Name>({"google"});
constexpr std::array kCephAliases = std::to_array<Name>({"radosgw", "rgw"});
constexpr std::array kS3Aliases = std::to_array<Name>({"other", "s3-compatible"});
constexpr std::array kIdriveHosts = std::to_array<Name>({"*.idrivee2.com"});
constexpr std::array kStorjHosts = std::to_array<Name>({"gateway.*.storjshare.io"});
constexpr std::array kTigrisHosts = std::to_array<Name>({"t3.storage.dev"});

constexpr std::array kProfiles = std::to_array<Profile>({
    {.id = "kodo",
     .title = "Qiniu Cloud Object Storage (Kodo)",
     .aliases = kKodoAliases,
     .endpoint = "s3.{region}.qiniucs.com",
     .other_hosts = kKodoHosts,
     .regions = kKodoRegions,
     .storage_classes = kKodoClasses,
     .anonymous = false,
     .list_url_encode = false,
     .multipart_etag = false,
     .part_size_min = 1 * kMiB,
     .part_size_max = 1 * kGiB,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "If-None-Match is answered with success and ignored, so creation is never "
               "exclusive; a request "
               "to another region's host is refused (IncorrectRegion); the S3 name of a bucket can "
               "differ from "
               "its Kodo name; server-side encryption may be ignored"},
    {.id = "qingstor",
     .title = "QingStor (native API)",
     .protocol = Protocol::kQingStor,
     .endpoint = "{region}.qingstor.com",
     .default_region = "pek3a",
     .regions = kQingStorZones,
     .storage_classes = kQingStorClasses,
     .acl = false,
     .sse_customer_key_only = true,
     .requester_pays = false,
     .signature_v2 = false,
     .list_version = ListVersion::kV1,
     .list_url_encode = false,
     .multipart_etag = false,
     .content_md5 = true,
     .part_size_min = 4 * kMiB,
     .part_size_max = 1 * kGiB,
     .object_size_max = 50 * kTiB,
     .key_size_max = 1023,
     .batch_delete_max = 200,
     .list_in_byte_order = false,
     .move = true,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .source_conditions = true,
     .quirks = "listings come in an order of the service's own; objects are moved in one request; "
               "no conditional writes; the zone of a bucket is found by redirect"},
    {.id = "qingstor-s3",
     .title = "QingStor (S3 gateway)",
     .endpoint = "s3.{region}.qingstor.com",
     .default_region = "pek3a",
     .regions = kQingStorZones,
     .storage_class = false,
     .acl = false,
     .sse = false,
     .list_version = ListVersion::kV1,
     .list_url_encode = false,
     .multipart_etag = false,
     .content_md5 = true,
     .part_size_min = 4 * kMiB,
     .part_size_max = 1 * kGiB,
     .key_size_max = 1023,
     .list_in_byte_order = false,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "no storage class, ACL or encryption headers; the payload's hash is not verified"},
    {.id = "s3",
     .title = "Any S3-compatible service",
     .aliases = kS3Aliases,
     .default_region = "us-east-1",
     .list_url_encode = false,
     .multipart_etag = false,
     .quirks = "known hosts are recognised and their profile is used; what an unknown service "
               "honours is found "
               "out with a probe"},
    {.id = "aws",
     .title = "Amazon S3",
     .aliases = kAwsAliases,
     .endpoint = "s3.{region}.amazonaws.com",
     .other_hosts = kAwsHosts,
     .default_region = "us-east-1",
     .regions = kAwsRegions,
     .storage_classes = kAwsClasses,
     .style = AddressingStyle::kVirtualHost,
     .object_size_max = 48 * kTiB,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .delete_if_match = Support::kYes,
     .source_conditions = true,
     .quirks = "archived objects must be restored before they can be read"},
    {.id = "minio",
     .title = "MinIO",
     .default_region = "us-east-1",
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .source_conditions = true,
     .quirks = "conditions on delete and copy only in newer commercial builds"},
    {.id = "ceph",
     .title = "Ceph RADOS gateway",
     .aliases = kCephAliases,
     .default_region = "us-east-1",
     .list_version = ListVersion::kV1,
     .list_url_encode = false,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .bare_etag_conditions = true,
     .quirks = "the region is the name of the zone group, where that matters; conditions on "
               "Complete came in 2025"},
    {.id = "r2",
     .title = "Cloudflare R2",
     .aliases = kR2Aliases,
     .other_hosts = kR2Hosts,
     .default_region = "auto",
     .acl = false,
     .signature_v2 = false,
     .multipart_etag = false,
     .equal_parts = true,
     .batch_delete_max = 700,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .source_conditions = true,
     .quirks = "all parts of an upload but the last must have one size; the endpoint is "
               "https://ACCOUNT.r2.cloudflarestorage.com"},
    {.id = "oss",
     .title = "Alibaba Cloud OSS",
     .aliases = kOssAliases,
     .endpoint = "oss-{region}.aliyuncs.com",
     .other_hosts = kOssHosts,
     .regions = kOssRegions,
     .storage_classes = kOssClasses,
     .style = AddressingStyle::kVirtualHost,
     .path_style_possible = false,
     .multipart_etag = false,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "the bucket must be in the host name; a key can not begin with '/' or '\\'"},
    {.id = "cos",
     .title = "Tencent COS",
     .aliases = kCosAliases,
     .endpoint = "cos.{region}.myqcloud.com",
     .regions = kCosRegions,
     .storage_classes = kCosClasses,
     .style = AddressingStyle::kVirtualHost,
     .list_version = ListVersion::kV1,
     .multipart_etag = false,
     .part_size_min = 1 * kMiB,
     .object_size_max = 48 * kTiB,
     .key_size_max = 850,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "the bucket's name ends with -APPID; keys have 850 bytes at most"},
    {.id = "obs",
     .title = "Huawei Cloud OBS",
     .aliases = kObsAliases,
     .endpoint = "obs.{region}.myhuaweicloud.com",
     .regions = kObsRegions,
     .style = AddressingStyle::kVirtualHost,
     .list_version = ListVersion::kV1,
     .list_url_encode = false,
     .quirks = "listings can repeat a marker; such a listing ends with an error"},
    {.id = "wasabi",
     .title = "Wasabi",
     .endpoint = "s3.{region}.wasabisys.com",
     .default_region = "us-east-1",
     .style = AddressingStyle::kVirtualHost,
     .quirks = "objects are billed for 90 days at least"},
    {.id = "b2",
     .title = "Backblaze B2",
     .aliases = kB2Aliases,
     .endpoint = "s3.{region}.backblazeb2.com",
     .signature_v2 = false,
     .https_only = true,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "an application key is needed, the master key is refused; conditional writes are "
               "refused (501); "
               "an ACL belongs to the bucket"},
    {.id = "digitalocean",
     .title = "DigitalOcean Spaces",
     .aliases = kSpacesAliases,
     .endpoint = "{region}.digitaloceanspaces.com",
     .style = AddressingStyle::kVirtualHost,
     .list_url_encode = false,
     .quirks = "no copies between regions"},
    {.id = "scaleway",
     .title = "Scaleway Object Storage",
     .endpoint = "s3.{region}.scw.cloud",
     .default_region = "fr-par",
     .regions = kScalewayRegions,
     .storage_classes = kScalewayClasses,
     .style = AddressingStyle::kVirtualHost,
     .parts_max = 1000,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .copy_if_absent = Support::kYes,
     .quirks = "an upload has 1000 parts at most"},
    {.id = "ovh",
     .title = "OVHcloud Object Storage",
     .aliases = kOvhAliases,
     .endpoint = "s3.{region}.io.cloud.ovh.net",
     .style = AddressingStyle::kVirtualHost,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .delete_if_match = Support::kYes,
     .quirks = ""},
    {.id = "gcs",
     .title = "Google Cloud Storage (XML API)",
     .aliases = kGcsAliases,
     .endpoint = "storage.googleapis.com",
     .default_region = "auto",
     .copy_size_max = kNoLimit,
     .batch_delete_max = 0,
     .part_copy = false,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .quirks = "needs HMAC keys; objects are deleted one by one"},
    {.id = "storj",
     .title = "Storj",
     .endpoint = "gateway.storjshare.io",
     .other_hosts = kStorjHosts,
     .default_region = "us-east-1",
     .part_size_min = 64 * kMiB,
     .copy_size_max = kNoLimit,
     .part_copy = false,
     .quirks = "large parts are advised; no part copy"},
    {.id = "idrive",
     .title = "IDrive e2",
     .other_hosts = kIdriveHosts,
     .default_region = "us-east-1",
     .quirks = "each account has an endpoint of its own"},
    {.id = "garage",
     .title = "Garage",
     .default_region = "garage",
     .storage_class = false,
     .acl = false,
     .signature_v2 = false,
     .put_if_absent = Support::kNo,
     .put_if_match = Support::kNo,
     .complete_if = Support::kNo,
     .delete_if_match = Support::kNo,
     .copy_if_absent = Support::kNo,
     .source_conditions = true,
     .quirks = "no conditional writes; the region is s3_region of its configuration"},
    {.id = "seaweedfs",
     .title = "SeaweedFS",
     .default_region = "us-east-1",
     .list_version = ListVersion::kV1,
     .list_url_encode = false,
     .multipart_etag = false,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .delete_if_match = Support::kYes,
     .copy_if_absent = Support::kYes,
     .quirks = ""},
    {.id = "tigris",
     .title = "Tigris",
     .endpoint = "fly.storage.tigris.dev",
     .other_hosts = kTigrisHosts,
     .default_region = "auto",
     .style = AddressingStyle::kVirtualHost,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .quirks = ""},
    {.id = "local",
     .title = "A folder of this machine",
     .protocol = Protocol::kLocal,
     .storage_class = false,
     .acl = false,
     .sse = false,
     .put_if_absent = Support::kYes,
     .put_if_match = Support::kYes,
     .complete_if = Support::kYes,
     .delete_if_match = Support::kYes,
     .copy_if_absent = Support::kYes,
     .quirks = "bucket is the folder's full path; no credentials"},
});

}  // namespace

std::span<const Profile> Profiles() { return kProfiles; }

}  // namespace quayfs

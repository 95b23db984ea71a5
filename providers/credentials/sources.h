// SPDX-License-Identifier: Apache-2.0
//
// Where credentials come from besides the config itself: the places where Amazon's tools look, and
// files that change. Addresses and variables are those of Amazon's tools, so that what works for
// them works here. Each source is asked again when its credentials come to an end
// (s3/credential_keeper.h).

#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "s3/credential_keeper.h"
#include "s3/http.h"

namespace quayfs {

/// What a source may use of its surroundings. Copied; all of it may be called from any thread.
struct CredentialSurroundings {
  std::function<std::optional<std::string>(const std::string&)> variable;
  /// A file that may hold secrets: refuses those that others can read. kNotFound.
  std::function<Result<std::string>(const std::string& path)> private_file;
  /// Program and arguments to what it prints.
  std::function<Result<std::string>(const std::vector<std::string>& command)> run;
};

/// What the config says of them. Plain data, besides the surroundings.
struct CredentialRules {
  enum class From {
    kNowhere,      // the keys of the config
    kChain,        // variables, web identity, profile, container, instance: the first that has any
    kProfile,      // of the shared files
    kWebIdentity,  // a token in a file, exchanged at STS
    kContainer,    // the endpoint that a container is told of
    kInstance,     // the metadata service of a virtual machine, version 2 only
    kReload,       // `reload`, when one of `files` has changed
  };
  From from = From::kNowhere;
  std::string profile;  // "" for AWS_PROFILE, or "default"
  std::string region;   // for STS
  std::function<Result<s3::Credentials>()> reload;
  std::vector<std::string> files;
  /// Counts how often somebody has wanted them to be asked for again; may be null.
  std::shared_ptr<const std::atomic<uint64_t>> asked;
  CredentialSurroundings around;
};

/// Null for kNowhere. `http` is for STS alone; the local endpoints are asked without a proxy.
/// Sends nothing yet.
std::shared_ptr<s3::CredentialSource> MakeCredentialSource(const CredentialRules& rules,
                                                           const s3::HttpConfig& http);

/// "profile 'nightly'", "instance metadata", ..., for messages.
std::string DescribeCredentialRules(const CredentialRules& rules);

}  // namespace quayfs

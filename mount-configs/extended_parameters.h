// SPDX-License-Identifier: Apache-2.0
//
// The extended parameters of S3-compatible endpoints, "RetryCount=6;Use_PathStyle=true".
// protocol.md 4.2 to 4.6. Pure functions.
//
// Names compare without case and are those of the [extended] rows of the option table. A name that
// is not known, or comes twice, is worth a warning (vendors add parameters; the last one wins); a
// value that is wrong is an error, except that RetryMode falls back to Legacy.

#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "mount-configs/mount_config.h"

namespace quayfs {

struct ExtendedParameter {
  std::string name;
  std::string value;
};

/// What reading them found to say. None of it holds a value that could be a secret.
struct ExtendedFindings {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  std::set<std::string> seen;  // names met so far, in lower case
};

/// Splits at ';', at the first '=', and trims blanks; empty segments are skipped. A segment without
/// '=' is an error.
std::vector<ExtendedParameter> SplitExtendedParameters(std::string_view text,
                                                       ExtendedFindings& findings);

/// Sets the fields of config.store. A parameter that is refused leaves its field alone.
void ApplyExtendedParameters(const std::vector<ExtendedParameter>& parameters, MountConfig& config,
                             ExtendedFindings& findings);

/// What the parameters mean together and for the endpoint; call once, when everything else is set.
/// May switch unsigned_payload off.
void CheckExtendedParameters(MountConfig& config, ExtendedFindings& findings);

/// Lower-case hex digits of a thumbprint as people copy them: blanks, ':', '-' and invisible marks
/// dropped. kInvalidArgument unless 40 or 64 digits remain.
Result<std::string> NormalizeThumbprint(std::string_view text);

}  // namespace quayfs

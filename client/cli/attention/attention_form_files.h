// The other forms of attention (attention_forms.h) as files of numbers and as a page.
#ifndef HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORM_FILES_H_
#define HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORM_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/attention/attention_forms.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/cli/pages/export.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// A usage error when the files of the command cannot hold what is asked for: some weights of each
// row only, or a form that a viewer does not show.
absl::Status CheckFormFiles(const Arguments& arguments, const v1::AttentionSelection& selection);

// [layers, heads, rows, columns], without the heads where they are one map. `answer` has all cells
// of each row.
Export AttentionFormExport(const AttentionAnswer& answer, const v1::AttentionSelection& selection,
                           const std::vector<std::string>& edits);

// A map of each head, or of each layer where its heads are one.
std::string AttentionFormPage(const AttentionAnswer& answer,
                              const v1::AttentionSelection& selection,
                              const std::vector<std::string>& edits);

// Writes --html, --npy and --output where they are given. True when one was.
absl::StatusOr<bool> WriteFormFiles(const AttentionAnswer& answer,
                                    const v1::AttentionSelection& selection,
                                    const std::vector<std::string>& edits,
                                    const Arguments& arguments, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_ATTENTION_ATTENTION_FORM_FILES_H_
